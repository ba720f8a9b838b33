"""Argo Workflows, which the pipeline needs, and Argo CD, which it may do without."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chexpert.cluster.api import Api
from chexpert.cluster.doctor.findings import Finding, State
from chexpert.cluster.doctor.versions import controller, crd, image, tag_of, version

__all__ = ["argo_cd", "workflows"]

_WORKFLOWS: Final = (4, 1, 0)
_CD: Final = (3, 3, 0)


def workflows(api: Api) -> Iterator[Finding]:
    """Its CRDs and its controller."""
    install = "install Argo Workflows 4.1: its full CRDs server-side, then the controller"
    names = ("workflows", "workflowtemplates", "cronworkflows", "workflowtaskresults")
    missing = [name for name in names if crd(api, f"{name}.argoproj.io") is None]
    if missing:
        yield Finding("Argo Workflows: CRDs", State.MISSING, f"no {', '.join(missing)}", install)
    else:
        yield Finding("Argo Workflows: CRDs", State.OK, ", ".join(names))
    found = controller(api, "workflow-controller")
    yield _running(found, "Argo Workflows: controller", "workflow-controller", _WORKFLOWS, install)


def argo_cd(api: Api) -> Iterator[Finding]:
    """Its application controller; without it, a person or a script applies what git says."""
    install = "install Argo CD 3.3 or later and apply argo/cd/root.yaml; or apply kserve/ and argo/workflows by kubectl"
    for resource in ("statefulsets", "deployments"):
        found = controller(api, "argocd-application-controller", resource)
        if found is not None:
            remedy = f"{install}; older ones call every server Progressing"
            yield _running(found, "Argo CD", "argocd-application-controller", _CD, remedy)
            return
    yield Finding("Argo CD", State.ABSENT, "no argocd-application-controller in any namespace", install)


def _running(
    found: Mapping[str, Any] | None, check: str, name: str, oldest: tuple[int, int, int], install: str
) -> Finding:
    if found is None:
        return Finding(check, State.MISSING, f"no {name} in any namespace", install)
    reference, namespace = image(found), found["metadata"]["namespace"]
    number = version(tag_of(reference))
    status = found.get("status") or {}
    if not (status.get("availableReplicas") or status.get("readyReplicas")):
        remedy = f"kubectl -n {namespace} get pods, and the log of {name}"
        return Finding(check, State.MISSING, f"{reference} in {namespace}: no replica is available", remedy)
    if number is not None and number < oldest:
        return Finding(check, State.TOO_OLD, f"{reference} in {namespace}", install)
    return Finding(check, State.OK, f"{reference} in {namespace}")
