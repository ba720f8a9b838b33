"""Versions as tags and servers write them, and Deployments by which they are told. Pure but for one read."""

import re
from collections.abc import Mapping
from typing import Any, Final

from chexpert.cluster.api import APPS, Api, items, path

__all__ = ["controller", "crd", "image", "tag_of", "version"]

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_CRDS: Final = "/apis/apiextensions.k8s.io/v1"


def version(text: str) -> tuple[int, int, int] | None:
    """The first version in a text such as v1.35.4+k3s1; None: there is none, as in a tag of one's own."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def tag_of(reference: str) -> str:
    """Tag of an image's reference; empty where it has none."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def controller(api: Api, name: str, resource: str = "deployments") -> dict[str, Any] | None:
    """The Deployment (or StatefulSet) of this name, wherever in the cluster it is; None: there is none."""
    found = items(api.get(path(APPS, resource), {"fieldSelector": f"metadata.name={name}"}))
    return found[0] if found else None


def image(workload: Mapping[str, Any]) -> str:
    """Image of its first container."""
    return str(workload["spec"]["template"]["spec"]["containers"][0]["image"])


def crd(api: Api, name: str) -> dict[str, Any] | None:
    """A CustomResourceDefinition, such as httproutes.gateway.networking.k8s.io."""
    found = api.get(path(_CRDS, "customresourcedefinitions", name))
    return dict(found) if found else None
