"""The Gateway API: its CRDs, and a gateway that follows them."""

from collections.abc import Iterator
from typing import Final

from chexpert.cluster.api import GATEWAY, Api, items, path
from chexpert.cluster.doctor.findings import Finding, State
from chexpert.cluster.doctor.versions import crd

__all__ = ["definitions", "programmed"]

_BUNDLE: Final = "gateway.networking.k8s.io/bundle-version"
_INSTALL: Final = (
    "apply standard-install.yaml of a release of kubernetes-sigs/gateway-api, before KServe and the gateway"
)


def definitions(api: Api) -> Iterator[Finding]:
    """HTTPRoute and Gateway are known in version v1."""
    for kind in ("gateways", "httproutes"):
        found = crd(api, f"{kind}.gateway.networking.k8s.io")
        check = f"Gateway API: {kind}"
        if found is None:
            yield Finding(check, State.MISSING, "no such CRD", _INSTALL)
            continue
        served = [str(one["name"]) for one in found["spec"]["versions"] if one.get("served")]
        release = (found["metadata"].get("annotations") or {}).get(_BUNDLE, "of an unknown release")
        state = State.OK if "v1" in served else State.TOO_OLD
        yield Finding(check, state, f"{release}, serves {', '.join(served)}", _INSTALL * state.bad)


def programmed(api: Api, wanted: str) -> Iterator[Finding]:
    """The gateway that KServe is told of is programmed.

    Args:
        api: The cluster.
        wanted: namespace/name; empty: any will do.
    """
    found = {
        f"{one['metadata']['namespace']}/{one['metadata']['name']}": {
            str(condition["type"]): str(condition["status"])
            for condition in (one.get("status") or {}).get("conditions") or []
        }
        for one in items(api.get(path(GATEWAY, "gateways")))
    }
    check = f"Gateway {wanted}".rstrip()
    ready = sorted(name for name, conditions in found.items() if conditions.get("Programmed") == "True")
    if (wanted in ready) if wanted else ready:
        yield Finding(check, State.OK, f"programmed: {', '.join(ready)}")
        return
    known = ", ".join(
        f"{name} (Programmed {conditions.get('Programmed', 'not told')})" for name, conditions in found.items()
    )
    remedy = (
        "install a gateway controller that keeps HTTPRoute weights (Traefik 3, Envoy Gateway, Istio) and its Gateway"
    )
    yield Finding(check, State.MISSING, f"not programmed; there are: {known or 'none'}", remedy)
