"""What really serves, against what git asks for: on objects as KServe and its gateway write them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chexpert.cluster.errors import ClusterRefused, KServeTooOld
from chexpert.cluster.routing import KServeRouting, Routed
from chexpert.serving.isvc import ServedFile, ServedVersion

Cluster = Callable[[Mapping[str, Any]], Any]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMESPACE = "/namespaces/chexpert-production"
ISVC = f"/apis/serving.kserve.io/v1beta1{NAMESPACE}/inferenceservices/chexpert"
ROUTES = f"/apis/gateway.networking.k8s.io/v1{NAMESPACE}/httproutes"
PODS = f"/api/v1{NAMESPACE}/pods"
OPENAPI = "/openapi/v3/apis/serving.kserve.io/v1beta1"


def served(stable: str, canary: str = "", percent: int = 0) -> ServedFile:
    digest = "0" * 64
    canaries = (ServedVersion(canary, "s3://b", digest, percent),) if canary else ()
    return ServedFile("chexpert", ServedVersion(stable, "s3://a", digest, 100 - percent), canaries)


def inference_service(stable: str, canary: str = "", percent: int = 0, *, ready: bool = True) -> dict[str, Any]:
    changed = (NOW - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    spec: dict[str, Any] = {"predictor": {"name": stable}}
    if canary:
        spec["canary"] = [{"trafficPercent": percent, "predictor": {"name": canary}}]
    condition = {"type": "CanaryPredictorReady", "status": str(ready), "lastTransitionTime": changed}
    statuses = [{"name": canary, "ready": ready, "trafficPercent": percent}] if canary else []
    return {"spec": spec, "status": {"conditions": [condition], "canaryStatuses": statuses}}


def route(weights: Mapping[str, int], *, resolved: str = "True", rules: int = 2) -> dict[str, Any]:
    backends = [{"name": f"chexpert-{version}-predictor", "weight": weight} for version, weight in weights.items()]
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Accepted"},
        {"type": "ResolvedRefs", "status": resolved, "reason": "BackendNotFound", "message": "no Service"},
    ]
    return {
        "metadata": {
            "managedFields": [
                {"manager": "manager", "operation": "Update", "time": "2026-05-01T11:58:00Z"},
                {"manager": "traefik", "operation": "Update", "subresource": "status", "time": "2026-05-01T11:59:00Z"},
            ]
        },
        "spec": {"rules": [{"backendRefs": backends}] * rules},
        "status": {"parents": [{"conditions": conditions}]},
    }


def cluster(isvc: Mapping[str, Any], weights: Mapping[str, int], **objects: Any) -> dict[str, Any]:
    both = {f"{ROUTES}/chexpert": route(weights), f"{ROUTES}/chexpert-predictor": route(weights)}
    return {ISVC: isvc, **both, **objects}


def read(api: Any, wanted: ServedFile) -> Routed:
    return KServeRouting(api, "chexpert-{environment}/chexpert", clock=lambda: NOW).read("production", wanted)


@pytest.mark.parametrize(
    ("wanted", "isvc", "weights"),
    [
        (served("v1"), inference_service("v1"), {"v1": 1}),
        (served("v1", "v2", 10), inference_service("v1", "v2", 10), {"v1": 90, "v2": 10}),
        (served("v1", "v2", 100), inference_service("v1", "v2", 100), {"v1": 0, "v2": 100}),
        (served("v2", "v1"), inference_service("v2", "v1"), {"v2": 100, "v1": 0}),
        (served("v2", "v1"), inference_service("v2", "v1", ready=False), {"v2": 100}),
    ],
)
def test_a_route_with_the_weights_of_git_is_followed(
    recorded_api: Cluster, wanted: ServedFile, isvc: Any, weights: Mapping[str, int]
) -> None:
    """Alone, at a stage, after the swap, and with a way back that is not ready; since the route was last written."""
    routed = read(recorded_api(cluster(isvc, weights)), wanted)
    assert routed.follows
    assert routed.since == datetime(2026, 5, 1, 11, 58, tzinfo=UTC)


def test_a_commit_that_is_not_applied_yet_is_told(recorded_api: Cluster) -> None:
    """Also a swap, which leaves the weights as they are and is seen by the names alone."""
    routed = read(recorded_api(cluster(inference_service("v1"), {"v1": 1})), served("v1", "v2", 10))
    assert routed.reasons == ("git gives v1 90 %, v2 10 %, the cluster is told v1 100 % yet",)
    swapped = read(
        recorded_api(cluster(inference_service("v1", "v2", 100), {"v1": 0, "v2": 100})), served("v2", "v1", 0)
    )
    assert swapped.reasons == ("git gives v2 100 %, v1 0 %, the cluster is told v1 0 %, v2 100 % yet",)
    nothing = read(recorded_api({}), served("v1"))
    assert nothing.reasons == ("the cluster has no InferenceService chexpert-production/chexpert yet",)
    assert not nothing.failing


def test_a_dead_canary_is_told_with_its_pods_words(recorded_api: Cluster) -> None:
    """Pod, state and last lines; the first reason carries nothing that changes from one crash to the next."""
    pod = {
        "metadata": {"name": "chexpert-v2-predictor-0"},
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [
                {"name": "storage-initializer", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            ],
        },
    }
    objects = cluster(inference_service("v1", "v2", 10, ready=False), {"v1": 100})
    objects[f"{PODS}?app=isvc.chexpert-v2-predictor"] = {"items": [pod]}
    objects[f"{PODS}/chexpert-v2-predictor-0/log"] = ["", "NoSuchKey: bundles/sha256-12"]
    routed = read(recorded_api(objects), served("v1", "v2", 10))
    assert routed.failing
    assert routed.reasons == (
        "git gives v2 10 %, the route 0 %: pod chexpert-v2-predictor-0 Init:CrashLoopBackOff",
        "restarts of storage-initializer: 3",
        "NoSuchKey: bundles/sha256-12",
    )
    objects[f"{PODS}/chexpert-v2-predictor-0/log"] = ClusterRefused("GET log", 403, "forbidden")
    assert read(recorded_api(objects), served("v1", "v2", 10)).reasons == routed.reasons[:2]


def test_without_a_pod_the_deployment_says_why(recorded_api: Cluster) -> None:
    """A quota or an admission rule makes no pod that could say anything."""
    objects = cluster(inference_service("v1", "v2", 10, ready=False), {"v1": 100})
    assert read(recorded_api(objects), served("v1", "v2", 10)).reasons == ("git gives v2 10 %, the route 0 %",)
    deployment = f"/apis/apps/v1{NAMESPACE}/deployments/chexpert-v2-predictor"
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    objects[deployment] = {"status": {"conditions": [failure]}}
    routed = read(recorded_api(objects), served("v1", "v2", 10))
    assert routed.failing
    assert routed.reasons == ("git gives v2 10 %, the route 0 %: exceeded quota: pods",)


def test_one_route_of_two_is_not_enough(recorded_api: Cluster) -> None:
    """Clients of either host get the weights, or the stage waits."""
    objects = cluster(inference_service("v1", "v2", 50), {"v1": 50, "v2": 50})
    objects[f"{ROUTES}/chexpert-predictor"] = route({"v1": 90, "v2": 10})
    assert read(recorded_api(objects), served("v1", "v2", 50)).weights == {"v1": 90, "v2": 10}
    del objects[f"{ROUTES}/chexpert-predictor"]
    assert "no HTTPRoute chexpert-predictor" in read(recorded_api(objects), served("v1", "v2", 50)).reasons[0]


def test_a_route_that_its_gateway_refuses_is_not_followed(recorded_api: Cluster) -> None:
    """Weights on paper serve nobody."""
    objects = cluster(inference_service("v1"), {"v1": 1})
    objects[f"{ROUTES}/chexpert"] = route({"v1": 1}, resolved="False")
    assert "not ResolvedRefs by its gateway: BackendNotFound" in read(recorded_api(objects), served("v1")).reasons[0]
    objects[f"{ROUTES}/chexpert"]["status"] = {}
    assert "no gateway has accepted" in read(recorded_api(objects), served("v1")).reasons[0]


@pytest.mark.parametrize(
    ("fields", "old"), [({"predictor": {}}, True), ({"predictor": {}, "canary": {}}, False), ({}, False)]
)
def test_a_kserve_without_canaries_is_told_by_its_schema(recorded_api: Cluster, fields: Any, old: bool) -> None:
    """One that drops spec.canary stops the rollout with words; a minimal CRD describes nothing and proves nothing."""
    schema = {"properties": {"spec": {"properties": fields}}}
    described = {"components": {"schemas": {"io.kserve.serving.v1beta1.InferenceService": schema}}}
    api = recorded_api(cluster(inference_service("v1"), {"v1": 1}, **{OPENAPI: described}))
    if old:
        with pytest.raises(KServeTooOld, match=r"no spec\.canary"):
            read(api, served("v1", "v2", 10))
    else:
        assert not read(api, served("v1", "v2", 10)).follows


def test_a_kserve_without_weights_is_told_by_a_ready_canary(recorded_api: Cluster) -> None:
    """Release 0.20.0 has the field and no weights: a canary long ready and without a share stops the rollout."""
    isvc = inference_service("v1", "v2", 10)
    with pytest.raises(KServeTooOld, match="v2 is ready since"):
        read(recorded_api(cluster(isvc, {"v1": 1})), served("v1", "v2", 10))
    isvc["status"]["conditions"][0]["lastTransitionTime"] = NOW.isoformat()
    assert not read(recorded_api(cluster(isvc, {"v1": 1})), served("v1", "v2", 10)).follows


@pytest.mark.parametrize(
    ("name", "wanted", "weights"),
    [
        ("ten", served("v1", "v2", 10), {"v1": 90, "v2": 10}),
        ("swapped", served("v2", "v1"), {"v2": 100, "v1": 0}),
        ("dead", served("v2", "v3", 10), {"v2": 100}),
    ],
)
def test_what_a_real_cluster_said(
    recorded_api: Cluster,
    recorded: Callable[[str], dict[str, Any]],
    name: str,
    wanted: ServedFile,
    weights: Mapping[str, int],
) -> None:
    """Objects of KServe master (August 2026) behind Traefik 3.6: followed, swapped, and a canary without its model."""
    found = recorded(name)
    objects = {
        ISVC: found["inferenceservice"],
        **{f"{ROUTES}/{key}": value for key, value in found["httproutes"].items()},
    }
    for version in ("v1", "v2", "v3"):
        app = f"isvc.chexpert-{version}-predictor"
        pods = [pod for pod in found["pods"] if pod["metadata"]["labels"]["app"] == app]
        objects[f"{PODS}?app={app}"] = {"items": pods}
    routed = read(recorded_api(objects), wanted)
    assert routed.weights == weights
    assert routed.follows is (name != "dead")
    if name == "dead":
        assert routed.failing
        assert routed.reasons[0].startswith("git gives v3 10 %, the route 0 %: pod chexpert-v3-predictor-")
        assert routed.reasons[0].endswith("Init:CrashLoopBackOff")
        assert routed.reasons[2] == "RuntimeError: Failed to fetch model. No model found in echo/missing."
