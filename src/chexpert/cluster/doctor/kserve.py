"""KServe: a release with weights, its controller, webhooks that refuse, and settings that make HTTPRoutes."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from chexpert.cluster.api import CORE, KSERVE, Api, path
from chexpert.cluster.doctor.findings import Finding, Scope, State
from chexpert.cluster.doctor.versions import controller, crd, image, tag_of, version
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable

__all__ = ["configuration", "definition", "gateway_name", "manager", "webhooks"]

_MANAGER: Final = "kserve-controller-manager"
_NEEDED: Final = (0, 21, 0)
_INSTALL: Final = (
    "install KServe 0.21 or later, or a build of its master since August 2026: helm or kubectl apply --server-side"
)
_WRONG: Final = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "chexpert-doctor", "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
    "spec": {
        "predictor": {"model": {"name": "", "modelFormat": {"name": "none"}, "storageUri": "s3://none/1"}},
        "canary": [
            {
                "trafficPercent": 10,
                "predictor": {"model": {"name": "", "modelFormat": {"name": "none"}, "storageUri": "s3://none/2"}},
            }
        ],
    },
}
"""A canary without a name: KServe's own webhook refuses it, the schema does not."""


def definition(api: Api) -> Iterator[Finding]:
    """InferenceService is known and has spec.canary."""
    found = crd(api, "inferenceservices.serving.kserve.io")
    check = "KServe: InferenceService"
    if found is None:
        yield Finding(check, State.MISSING, "no such CRD", _INSTALL)
        return
    schemas = [one["schema"]["openAPIV3Schema"] for one in found["spec"]["versions"] if one["name"] == "v1beta1"]
    fields: dict[str, Any] = schemas[0].get("properties", {}).get("spec", {}).get("properties", {}) if schemas else {}
    if "canary" in fields:
        yield Finding(check, State.OK, "v1beta1 with spec.canary")
    elif "predictor" in fields:
        yield Finding(check, State.TOO_OLD, "v1beta1 without spec.canary: no rollout by weights", _INSTALL)
    else:
        remedy = "apply config/crd/full of the same release: the API server then refuses wrong fields"
        yield Finding(check, State.UNKNOWN, "minimal CRDs, which describe no field", remedy)


def manager(api: Api) -> Iterator[Finding]:
    """The controller runs, and its release writes canary weights on HTTPRoutes."""
    found = controller(api, _MANAGER)
    check = "KServe: controller"
    if found is None:
        yield Finding(check, State.MISSING, f"no Deployment {_MANAGER} in any namespace", _INSTALL)
        return
    reference = image(found)
    where = f"{reference} in {found['metadata']['namespace']}"
    number = version(tag_of(reference))
    if not (found.get("status") or {}).get("availableReplicas"):
        remedy = f"kubectl -n {found['metadata']['namespace']} describe deployment {_MANAGER}"
        yield Finding(check, State.MISSING, f"{where}: no replica is available", remedy)
    elif number is None:
        said = "the tag names no release; a rollout stops with words if this build writes no weights"
        yield Finding(check, State.OK, f"{where}: {said}")
    elif number < _NEEDED:
        yield Finding(check, State.TOO_OLD, f"{where}: up to 0.20.0 a canary gets no traffic", _INSTALL)
    else:
        yield Finding(check, State.OK, where)


def webhooks(api: Api, scope: Scope) -> Iterator[Finding]:
    """A wrong InferenceService is refused; it is only a dry run."""
    check = "KServe: webhooks"
    namespace = next(iter(scope.environments.values()), "default")
    if api.get(path(CORE, "namespaces", namespace)) is None:
        namespace = "default"
    try:
        api.create(path(KSERVE, "inferenceservices", namespace=namespace), _WRONG, {"dryRun": "All"})
    except ClusterRefused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            yield Finding(check, State.MISSING, "no InferenceService is known", _INSTALL)
        elif "admission webhook" in refused.message:
            yield Finding(check, State.OK, f"a canary without a name is refused: {_short(refused.message)}")
        else:
            yield Finding(check, State.UNKNOWN, _short(refused.message), "run it as an account that may create one")
    except ClusterUnavailable as error:
        remedy = "look at the controller's log and at the caBundle of its ValidatingWebhookConfiguration"
        yield Finding(check, State.MISSING, f"they do not answer: {_short(error.reason)}", remedy)
    else:
        remedy = "apply its ValidatingWebhookConfigurations; they are part of every install"
        yield Finding(check, State.MISSING, "a canary without a name is accepted: none is registered", remedy)


def configuration(api: Api) -> Iterator[Finding]:
    """KServe makes HTTPRoutes, on a gateway that is named."""
    ingress, deploy = _settings(api, "ingress"), _settings(api, "deploy")
    check = "KServe: inferenceservice-config"
    if ingress is None:
        yield Finding(check, State.MISSING, "it does not exist, or its ingress is no JSON", _INSTALL)
        return
    wrong = []
    if ingress.get("enableGatewayApi") is not True:
        wrong.append("ingress.enableGatewayApi is not true")
    if ingress.get("disableIngressCreation") is True:
        wrong.append("ingress.disableIngressCreation is true")
    if not ingress.get("kserveIngressGateway"):
        wrong.append("ingress.kserveIngressGateway is empty")
    mode = str((deploy or {}).get("defaultDeploymentMode", "not told"))
    if wrong:
        remedy = "edit the ConfigMap and restart the controller: no HTTPRoute carries weights like this"
        yield Finding(check, State.MISSING, "; ".join(wrong), remedy)
    else:
        yield Finding(check, State.OK, f"HTTPRoutes on {ingress['kserveIngressGateway']}, default mode {mode}")


def gateway_name(api: Api) -> str:
    """namespace/name of the gateway that KServe hangs its routes on; empty: not told."""
    return str((_settings(api, "ingress") or {}).get("kserveIngressGateway", ""))


def _settings(api: Api, key: str) -> dict[str, Any] | None:
    found = controller(api, _MANAGER)
    namespace = str(found["metadata"]["namespace"]) if found else "kserve"
    config = api.get(path(CORE, "configmaps", "inferenceservice-config", namespace=namespace))
    try:
        settings = json.loads((config or {}).get("data", {}).get(key, ""))
    except ValueError:
        return None
    return settings if isinstance(settings, dict) else None


def _short(message: str) -> str:
    return " ".join(message.split())[:160]
