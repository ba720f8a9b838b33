"""Where the tests of a cluster run, from the environment: see `make test-cluster` and docs/cluster.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

__all__ = ["ClusterSettings"]

DIGESTS = Path(__file__).parents[2] / "images/digests.yaml"


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Names the tests need of a cluster that they did not make."""

    registry: str
    """Before each image's name, such as localhost."""
    tag: str
    """Of our images."""
    postgresql: str
    """Image with postgres, initdb, psql and pg_isready on PATH."""
    s3: str
    """Image with versitygw on PATH."""
    prefix: str = "chx"
    """Of the namespaces that the tests make and take away."""
    gateway: str = "kserve/kserve-ingress-gateway"
    """Gateway of KServe and of the site, namespace/name."""
    address: str = ""
    """host or host:port where this machine reaches it; empty: what the Gateway's status says."""
    domain: str = "models.test"
    """Domain of KServe's hosts, which pods resolve to the gateway."""
    keep: bool = False
    """Leave everything in place at the end, to look at it."""
    reuse: bool = False
    """Go on with what an earlier run left in place."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """CLUSTER_… variables; registry and tag are those that `make images` recorded, unless told otherwise."""
        recorded: list[dict[str, Any]] = yaml.safe_load(DIGESTS.read_text()) or [] if DIGESTS.exists() else []
        given = {
            name: environment[variable]
            for name in ("registry", "tag", "postgresql", "s3", "prefix", "gateway", "address", "domain")
            if (variable := f"CLUSTER_{name.upper()}") in environment
        }
        known = {
            "registry": "localhost",
            "tag": next((image["tag"] for image in recorded if image["name"] == "chexpert/tools"), "0.1.0"),
            "postgresql": "docker.io/library/postgres:17.10-bookworm",
            "s3": "ghcr.io/versity/versitygw:v1.8.0",
        }
        return cls(
            **{**known, **given},
            keep=environment.get("CLUSTER_KEEP", "") == "1",
            reuse=environment.get("CLUSTER_REUSE", "") == "1",
        )

    def image(self, name: str) -> str:
        """Full reference of one of our images, such as tools."""
        return f"{self.registry}/chexpert/{name}:{self.tag}"
