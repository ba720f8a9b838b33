"""Everything this checkout puts into a cluster, and the pods in it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from infra_checks.builds import NoKustomize, build, documents, read
from rendering import Manifest, render_chart

__all__ = [
    "CHART",
    "GATEWAY",
    "KUSTOMIZATIONS",
    "PLATFORM",
    "ROOT",
    "Workload",
    "charts",
    "everything",
    "made_by_workflows",
    "values_files",
    "workloads",
]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "chexpert"
PLATFORM = ROOT / "argo" / "cd" / "platform"
GATEWAY = ROOT / "argo" / "cd" / "gateway"
KUSTOMIZATIONS = (
    "argo/cd/health",
    "argo/workflows",
    "kserve/production",
    "kserve/staging",
    "kserve/triton",
)
REPOSITORY = {"repoURL": "https://git.example.org/chexpert.git"}
BARE_NODES = {"service": "NodeAddresses", "addresses": ["192.168.1.11"], "certificate": "chexpert-tls"}

Pod = Mapping[str, Any]

_VARIABLE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Workload:
    """One pod as its object describes it."""

    name: str
    """Kind and name of the object, and the template in it."""
    kind: str
    namespace: str
    labels: Mapping[str, str]
    pod: Pod
    """A pod's spec; of a workflow's step, what all steps share laid under its own."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Of a workflow: what its parameters are by default."""

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """Those that run while the pod runs."""
        stays = [c for c in self.pod.get("initContainers", []) if c.get("restartPolicy") == "Always"]
        return [*self.pod.get("containers", []), *stays]

    @property
    def all_containers(self) -> list[Mapping[str, Any]]:
        """Those that come before, too."""
        return [*self.pod.get("containers", []), *self.pod.get("initContainers", [])]


def values_files() -> list[Path]:
    """The chart's values files."""
    return sorted((CHART / "values").glob("*.yaml"))


@cache
def charts() -> dict[str, list[Manifest]]:
    """Every chart with every values file, by what it is called in a message."""
    found = {"charts/chexpert": render_chart(CHART, {})}
    for path in values_files():
        found[f"charts/chexpert with {path.name}"] = render_chart(CHART, [path])
    existing = PLATFORM.parent / "values" / "existing-controllers.yaml"
    found["argo/cd/platform"] = render_chart(PLATFORM, REPOSITORY, name="chexpert-platform", namespace="argocd")
    found["argo/cd/platform with existing-controllers.yaml"] = render_chart(
        PLATFORM, [existing, REPOSITORY], name="chexpert-platform", namespace="argocd"
    )
    found["argo/cd/gateway"] = render_chart(GATEWAY, {}, name="gateway", namespace="kserve")
    found["argo/cd/gateway on bare nodes"] = render_chart(GATEWAY, BARE_NODES, name="gateway", namespace="kserve")
    return found


@cache
def everything() -> dict[str, list[Manifest]]:
    """Charts rendered, kustomizations built (or only read, see NoKustomize), and what is applied as it stands."""
    found = dict(charts())
    for folder in KUSTOMIZATIONS:
        try:
            found[folder] = build(ROOT / folder)
        except NoKustomize:
            found[folder] = read(ROOT / folder)
    found["argo/cd/root.yaml"] = documents((PLATFORM.parent / "root.yaml").read_text(encoding="utf-8"))
    return found


def workloads(manifests: list[Manifest]) -> Iterator[Workload]:
    """Every pod that these objects lead to."""
    for manifest in manifests:
        kind, spec = manifest["kind"], manifest.get("spec", {})
        name = f"{kind} {manifest['metadata']['name']}"
        namespace = manifest["metadata"].get("namespace", "")
        labels = manifest["metadata"].get("labels", {})
        match kind:
            case "Pod":
                yield Workload(name, kind, namespace, labels, spec)
            case "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job":
                yield _templated(name, kind, namespace, spec["template"])
            case "CronJob":
                yield _templated(name, kind, namespace, spec["jobTemplate"]["spec"]["template"])
            case "ServingRuntime" | "ClusterServingRuntime":
                served = {"serving.kserve.io/inferenceservice": "chexpert", "component": "predictor"}
                pod = {**spec, "serviceAccountName": "chexpert-serve"}
                yield Workload(name, kind, namespace, served | dict(labels), pod)
            case "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate":
                yield from _steps(name, kind, namespace, spec)
            case "CronWorkflow":
                yield from _steps(name, kind, namespace, spec["workflowSpec"])
            case _:
                pass


def made_by_workflows(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Objects that `resource` templates apply, with the parameters' defaults in them."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec.get("workflowSpec", spec)
        for template in spec.get("templates", []) if manifest["apiVersion"].startswith("argoproj.io/") else ():
            if text := template.get("resource", {}).get("manifest"):
                yield from documents(_filled(text, _parameters(spec)))


def _parameters(spec: Mapping[str, Any]) -> dict[str, str]:
    return {
        p["name"]: str(p.get("value", p.get("valueFrom", {}).get("default", "")))
        for p in spec.get("arguments", {}).get("parameters", [])
    }


def _filled(text: str, parameters: Mapping[str, str]) -> str:
    """A manifest as Argo fills it in: as text; what only a run knows, such as its name, is `x`."""
    return _VARIABLE.sub(lambda found: parameters.get(found[1].removeprefix("workflow.parameters."), "x"), text)


def _templated(name: str, kind: str, namespace: str, template: Mapping[str, Any]) -> Workload:
    return Workload(name, kind, namespace, template.get("metadata", {}).get("labels", {}), template["spec"])


def _steps(name: str, kind: str, namespace: str, spec: Mapping[str, Any]) -> Iterator[Workload]:
    defaults = spec.get("templateDefaults", {})
    parameters = _parameters(spec)
    for template in spec.get("templates", []):
        where = f"{name} template {template['name']}"
        if manifest := template.get("resource", {}).get("manifest"):
            for made in workloads(documents(_filled(manifest, parameters))):
                yield Workload(f"{where}: {made.name}", made.kind, namespace, made.labels, made.pod, parameters)
        container = template.get("container") or template.get("script")
        if container is None:
            continue
        shared = defaults.get("container", {}) if "container" in template else defaults.get("script", {})
        pod = {
            "serviceAccountName": template.get("serviceAccountName", spec.get("serviceAccountName")),
            "automountServiceAccountToken": spec.get("automountServiceAccountToken"),
            "securityContext": {**spec.get("securityContext", {}), **template.get("securityContext", {})},
            "volumes": [*spec.get("volumes", []), *template.get("volumes", [])],
            "initContainers": [*template.get("initContainers", []), *template.get("sidecars", [])],
            "containers": [{"name": "main", **shared, **container}],
        }
        labels = {**spec.get("podMetadata", {}).get("labels", {}), **template.get("metadata", {}).get("labels", {})}
        yield Workload(where, kind, namespace, labels, pod, parameters)
