"""All checks of a cluster, in the order in which things are installed."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from chexpert.cluster.api import CORE, Api, path
from chexpert.cluster.doctor import argo, contract, foundation, gateway, kserve
from chexpert.cluster.doctor.findings import Finding, Scope, State
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable

__all__ = ["examine"]

_Check = Callable[[Api, Scope], Iterable[Finding]]

_CHECKS: Final[tuple[tuple[str, _Check], ...]] = (
    ("Rights to install", foundation.rights),
    ("Default StorageClass", lambda api, _: foundation.storage(api)),
    ("NetworkPolicy", lambda api, _: foundation.isolation(api)),
    ("Gateway API", lambda api, _: gateway.definitions(api)),
    ("Gateway", lambda api, _: gateway.programmed(api, kserve.gateway_name(api))),
    ("KServe: InferenceService", lambda api, _: kserve.definition(api)),
    ("KServe: controller", lambda api, _: kserve.manager(api)),
    ("KServe: webhooks", kserve.webhooks),
    ("KServe: inferenceservice-config", lambda api, _: kserve.configuration(api)),
    ("Argo Workflows", lambda api, _: argo.workflows(api)),
    ("Argo CD", lambda api, _: argo.argo_cd(api)),
    ("Namespaces", foundation.pod_security),
    ("ConfigMap chexpert", contract.configured),
    ("Secrets", contract.secrets),
    ("Object store", contract.object_store),
)


def examine(api: Api, namespace: str) -> Iterator[Finding]:
    """What a cluster has and lacks, finding by finding as they are made.

    Args:
        api: The cluster.
        namespace: Where the platform is, or shall be.
    """
    try:
        yield from foundation.server(api)
        config = api.get(path(CORE, "configmaps", "chexpert", namespace=namespace)) or {}
    except (ClusterUnavailable, ClusterRefused) as error:
        yield Finding("Kubernetes", State.MISSING, str(error), "check KUBECONFIG and the account it names")
        return
    scope = Scope(namespace, config.get("data") or {})
    for name, check in _CHECKS:
        try:
            yield from check(api, scope)
        except ClusterRefused as refused:
            yield Finding(name, State.UNKNOWN, refused.message, "run it as an account that may read this")
        except ClusterUnavailable as error:
            yield Finding(name, State.MISSING, str(error), "try again; if it lasts, look at the API server's log")
