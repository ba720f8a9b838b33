"""One environment of the platform: what git says, what the route does, what runs, what Argo CD shows."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from chexpert.serving.isvc import ServedFile, parse
from cluster_harness.git_host import GitHost
from cluster_harness.kube import Kube

__all__ = ["Environment"]

ISVC = "chexpert"


@dataclass(frozen=True, slots=True)
class Environment:
    """staging or production."""

    name: str
    namespace: str
    kube: Kube
    git: GitHost

    @property
    def path(self) -> str:
        """The file that promotions edit."""
        return f"kserve/{self.name}/inferenceservice.yaml"

    def text(self) -> str:
        """The file as it stands on the host's main."""
        self.git.pull()
        return (self.git.clone / self.path).read_text()

    def committed(self) -> ServedFile:
        """What git says."""
        return parse(self.text(), where=self.path)

    def stable(self) -> str:
        """Version that git calls the stable; empty: none yet."""
        served = self.committed().stable
        return served.name if served else ""

    def commit(self, message: str, text: str) -> str:
        """Put the file on main; its sha."""
        return self.git.change(message, {self.path: text})

    def routed(self) -> dict[str, int]:
        """Percent by version on both of KServe's routes; empty: they differ, or there are none."""
        found = [self.kube.find("httproute", name, namespace=self.namespace) for name in (ISVC, f"{ISVC}-predictor")]
        shares = [_shares(route) for route in found if route]
        return shares[0] if len(shares) == len(found) and shares[0] == shares[1] else {}

    def pods(self, version: str) -> list[dict[str, Any]]:
        """Pods of a version that are not being deleted."""
        return self.kube.pods(self.namespace, f"app=isvc.{ISVC}-{version}-predictor")

    def uids(self, version: str) -> frozenset[str]:
        """Which pods these are."""
        return frozenset(pod["metadata"]["uid"] for pod in self.pods(version))

    def restarts(self) -> int:
        """Restarts of the model server's containers, all versions."""
        statuses = [s for pod in self.kube.pods(self.namespace) for s in pod["status"].get("containerStatuses", [])]
        return sum(status["restartCount"] for status in statuses)

    def ready(self, version: str) -> int:
        """Number of pods of a version that are ready."""
        conditions = [c for pod in self.pods(version) for c in pod["status"].get("conditions", [])]
        return Counter((c["type"], c["status"]) for c in conditions)["Ready", "True"]


def _shares(route: dict[str, Any]) -> dict[str, int]:
    references = route["spec"]["rules"][-1]["backendRefs"]
    if len(references) == 1:
        return {_version(references[0]["name"]): 100}
    return {_version(ref["name"]): ref["weight"] for ref in references if ref.get("weight", 1)}


def _version(service: str) -> str:
    return service.removeprefix(f"{ISVC}-").removesuffix("-predictor")
