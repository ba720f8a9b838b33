"""The port to a Kubernetes API server: paths and JSON, as the API's own documentation writes them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

__all__ = ["APPS", "ARGO", "CORE", "GATEWAY", "KSERVE", "NO_QUERY", "Api", "Json", "items", "path"]

Json = Mapping[str, Any]

CORE: Final = "/api/v1"
APPS: Final = "/apis/apps/v1"
ARGO: Final = "/apis/argoproj.io/v1alpha1"
"""Of Argo Workflows and of Argo CD."""
GATEWAY: Final = "/apis/gateway.networking.k8s.io/v1"
KSERVE: Final = "/apis/serving.kserve.io/v1beta1"
NO_QUERY: Final[Mapping[str, str]] = MappingProxyType({})


class Api(Protocol):
    """One API server, asked as one account."""

    @property
    def address(self) -> str:
        """Its URL, for messages."""
        ...

    def get(self, path: str, query: Mapping[str, str] = NO_QUERY) -> Json | None:
        """An object or a list; None where there is none (404).

        Raises:
            ClusterUnavailable: No answer, 5xx, or 429.
            ClusterRefused: Another 4xx, such as 403.
        """
        ...

    def create(self, path: str, body: Json, query: Mapping[str, str] = NO_QUERY) -> Json:
        """POST an object to its collection; returns it as it was stored. Raises as `get`, for 404 too."""
        ...

    def lines(self, path: str, query: Mapping[str, str] = NO_QUERY) -> Iterator[str]:
        """A text as it comes, such as a pod's log, without line ends. Raises as `get`, for 404 too."""
        ...


def path(group: str, resource: str, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
    """Path of an object, or of a collection where `name` is empty; of the whole cluster where `namespace` is.

    Args:
        group: One of the constants of this module, such as KSERVE.
        resource: Plural, such as inferenceservices.
        name: Of the object.
        namespace: Where it lies.
        subresource: Such as log.
    """
    parts = [group, f"namespaces/{namespace}" if namespace else "", resource, name, subresource]
    return "/".join(part for part in parts if part)


def items(found: Json | None) -> list[dict[str, Any]]:
    """The objects of a list; none where the collection is unknown."""
    return list((found or {}).get("items") or [])
