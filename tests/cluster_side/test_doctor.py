"""What the doctor says of a cluster, by one object changed at a time."""

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chexpert.cluster.doctor import checks, local
from chexpert.cluster.doctor.findings import Finding, State
from chexpert.cluster.doctor.rendering import exit_code, summary, table
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable

Cluster = Callable[[Mapping[str, Any]], Any]

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ISVCS = "POST /apis/serving.kserve.io/v1beta1/namespaces/chexpert-staging/inferenceservices"
REVIEW = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
DEPLOYMENTS = "/apis/apps/v1/deployments"
STATEFUL_SETS = "/apis/apps/v1/statefulsets"
NAMESPACES = ("chexpert", "chexpert-staging", "chexpert-production")
CONFIG = {
    "CHEXPERT_OBJECTS": "file:///nowhere",
    "CHEXPERT_TRACKING": "http://mlflow",
    "CHEXPERT_GITOPS": "http://git",
    "CHEXPERT_SITE": "http://site",
    "CHEXPERT_STAGING": "http://staging",
    "CHEXPERT_PRODUCTION": "http://production",
    "CHEXPERT_VERSION_URL": "http://{version}",
    "CHEXPERT_INFERENCE_SERVICE": "chexpert-{environment}/chexpert",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def workload(name: str, image: str, namespace: str) -> dict[str, Any]:
    template = {"spec": {"containers": [{"image": image}]}}
    metadata = {"name": name, "namespace": namespace}
    return {"items": [{"metadata": metadata, "spec": {"template": template}, "status": {"availableReplicas": 1}}]}


def complete() -> dict[str, Any]:
    """A cluster that has everything."""
    isvc = {"properties": {"spec": {"properties": {"predictor": {}, "canary": {}}}}}
    bundle = {"annotations": {"gateway.networking.k8s.io/bundle-version": "v1.4.1"}}
    gateway = {"metadata": bundle, "spec": {"versions": [{"name": "v1", "served": True}]}}
    key = base64.b64encode(b"x").decode()
    kserve = {"enableGatewayApi": True, "kserveIngressGateway": "kserve/gw"}
    objects: dict[str, Any] = {
        "/version": {"gitVersion": "v1.35.4"},
        REVIEW: {"status": {"allowed": True}},
        "/apis/storage.k8s.io/v1/storageclasses": {
            "items": [
                {
                    "metadata": {
                        "name": "fast",
                        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                    },
                    "provisioner": "example.org/disk",
                }
            ]
        },
        "/apis/apps/v1/daemonsets": {"items": [{"metadata": {"name": "calico-node"}}]},
        f"{CRDS}/gateways.gateway.networking.k8s.io": gateway,
        f"{CRDS}/httproutes.gateway.networking.k8s.io": gateway,
        "/apis/gateway.networking.k8s.io/v1/gateways": {
            "items": [
                {
                    "metadata": {"namespace": "kserve", "name": "gw"},
                    "status": {"conditions": [{"type": "Programmed", "status": "True"}]},
                }
            ]
        },
        f"{CRDS}/inferenceservices.serving.kserve.io": {
            "spec": {"versions": [{"name": "v1beta1", "schema": {"openAPIV3Schema": isvc}}]}
        },
        f"{DEPLOYMENTS}?metadata.name=kserve-controller-manager": workload("k", "kserve/controller:v0.21.0", "kserve"),
        f"{DEPLOYMENTS}?metadata.name=workflow-controller": workload(
            "w", "argoproj/workflow-controller:v4.1.2", "argo"
        ),
        f"{STATEFUL_SETS}?metadata.name=argocd-application-controller": workload("a", "argocd:v3.6.1", "argocd"),
        ISVCS: ClusterRefused("POST", 400, 'admission webhook "x" denied: canary[0] predictor.name is required'),
        "/api/v1/namespaces/kserve/configmaps/inferenceservice-config": {
            "data": {"ingress": json.dumps(kserve), "deploy": '{"defaultDeploymentMode": "Standard"}'}
        },
    }
    for name in ("workflows", "workflowtemplates", "cronworkflows", "workflowtaskresults"):
        objects[f"{CRDS}/{name}.argoproj.io"] = {"spec": {}}
    for namespace in NAMESPACES:
        at = f"/api/v1/namespaces/{namespace}"
        objects[at] = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        objects[f"{at}/configmaps/chexpert"] = {"data": CONFIG}
        keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key}
        objects[f"{at}/secrets/chexpert-objects"] = {"data": keys}
    at = "/api/v1/namespaces/chexpert/secrets"
    objects[f"{at}/chexpert-tables"] = {"data": {"CHEXPERT_DATABASE": key, "MLFLOW_BACKEND_STORE_URI": key}}
    objects[f"{at}/chexpert-site"] = {"data": {"CHEXPERT_SESSION_KEY": key, "users": key}}
    return objects


def examine(api: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in checks.examine(api, "chexpert")}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The complete cluster with one object replaced, or taken away."""
    objects = complete()
    assert path in objects
    objects[path] = value
    return objects


def test_a_complete_cluster_lacks_nothing(recorded_api: Cluster) -> None:
    """Every line is ok but the object store, which this one does not have in S3."""
    found = examine(recorded_api(complete()))
    others = {check: finding for check, finding in found.items() if finding.state is not State.OK}
    assert list(others) == ["Object store"]
    assert "no s3:// URL" in others["Object store"].found
    assert all(not finding.remedy for finding in found.values() if finding.state is State.OK)


@pytest.mark.parametrize(
    ("change", "check", "state", "said"),
    [
        (("/version", {"gitVersion": "v1.27.3+k3s1"}), "Kubernetes", State.TOO_OLD, "v1.27.3"),
        ((REVIEW, {"status": {"allowed": False}}), "Rights to install", State.MISSING, "may not create deployments in"),
        (("/apis/storage.k8s.io/v1/storageclasses", {"items": []}), "Default StorageClass", State.MISSING, "none"),
        (
            ("/apis/apps/v1/daemonsets", {"items": [{"metadata": {"name": "kube-flannel-ds"}}]}),
            "NetworkPolicy",
            State.UNKNOWN,
            "not enforced by kube-flannel-ds",
        ),
        (
            (f"{CRDS}/httproutes.gateway.networking.k8s.io", None),
            "Gateway API: httproutes",
            State.MISSING,
            "no such CRD",
        ),
        (("/apis/gateway.networking.k8s.io/v1/gateways", {"items": []}), "Gateway kserve/gw", State.MISSING, "none"),
        (
            (f"{CRDS}/inferenceservices.serving.kserve.io", None),
            "KServe: InferenceService",
            State.MISSING,
            "no such CRD",
        ),
        (
            (
                f"{DEPLOYMENTS}?metadata.name=kserve-controller-manager",
                workload("k", "registry:5000/kserve/controller:v0.20.0", "kserve"),
            ),
            "KServe: controller",
            State.TOO_OLD,
            "up to 0.20.0 a canary gets no traffic",
        ),
        (
            (
                f"{DEPLOYMENTS}?metadata.name=kserve-controller-manager",
                workload("k", "registry:5000/kserve/controller:mine", "kserve"),
            ),
            "KServe: controller",
            State.OK,
            "names no release",
        ),
        ((ISVCS, None), "KServe: webhooks", State.MISSING, "none is registered"),
        (
            (ISVCS, ClusterUnavailable("x", "500: failed calling webhook")),
            "KServe: webhooks",
            State.MISSING,
            "not answer",
        ),
        ((ISVCS, ClusterRefused("POST", 403, "forbidden")), "KServe: webhooks", State.UNKNOWN, "forbidden"),
        (
            (
                "/api/v1/namespaces/kserve/configmaps/inferenceservice-config",
                {"data": {"ingress": '{"enableGatewayApi": false, "kserveIngressGateway": "kserve/gw"}'}},
            ),
            "KServe: inferenceservice-config",
            State.MISSING,
            "enableGatewayApi is not true",
        ),
        ((f"{CRDS}/cronworkflows.argoproj.io", None), "Argo Workflows: CRDs", State.MISSING, "no cronworkflows"),
        (
            (
                f"{DEPLOYMENTS}?metadata.name=workflow-controller",
                workload("w", "argoproj/workflow-controller:v3.7.0", "argo"),
            ),
            "Argo Workflows: controller",
            State.TOO_OLD,
            "v3.7.0",
        ),
        (
            (f"{STATEFUL_SETS}?metadata.name=argocd-application-controller", {"items": []}),
            "Argo CD",
            State.ABSENT,
            "in any namespace",
        ),
        (
            ("/api/v1/namespaces/chexpert-production", {"metadata": {}}),
            "Namespace chexpert-production",
            State.UNKNOWN,
            "not enforced",
        ),
        (
            ("/api/v1/namespaces/chexpert-production/configmaps/chexpert", {"data": {**CONFIG, "CHEXPERT_SITE": ""}}),
            "ConfigMap chexpert in chexpert-production",
            State.MISSING,
            "without CHEXPERT_SITE",
        ),
        (
            ("/api/v1/namespaces/chexpert/secrets/chexpert-site", {"data": {"users": "eA=="}}),
            "Secret chexpert-site in chexpert",
            State.MISSING,
            "without CHEXPERT_SESSION_KEY",
        ),
        (
            ("/api/v1/namespaces/chexpert/secrets/chexpert-tables", ClusterRefused("GET", 403, "secrets is forbidden")),
            "Secret chexpert-tables in chexpert",
            State.UNKNOWN,
            "forbidden",
        ),
    ],
)
def test_each_lack_is_told_and_how_to_mend_it(
    recorded_api: Cluster, change: tuple[str, Any], check: str, state: State, said: str
) -> None:
    """One thing taken away changes its own line, and a line that is not ok says what to do."""
    finding = examine(recorded_api(changed(*change)))[check]
    assert finding.state is state
    assert said in finding.found
    assert bool(finding.remedy) is (state is not State.OK)


@pytest.mark.parametrize(
    ("fields", "state"), [({"predictor": {}}, State.TOO_OLD), ({}, State.UNKNOWN), ({"canary": {}}, State.OK)]
)
def test_a_kserve_is_too_old_by_its_schema_only_where_it_has_one(
    recorded_api: Cluster, fields: Any, state: State
) -> None:
    """Minimal CRDs prove nothing."""
    objects = complete()
    versions = objects[f"{CRDS}/inferenceservices.serving.kserve.io"]["spec"]["versions"]
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] = fields
    assert examine(recorded_api(objects))["KServe: InferenceService"].state is state


def test_a_bucket_that_is_not_seen_from_here_is_not_called_missing(recorded_api: Cluster) -> None:
    """An address inside the cluster answers only there."""
    data = {"data": {**CONFIG, "CHEXPERT_OBJECTS": "s3://chexpert"}}
    finding = examine(recorded_api(changed("/api/v1/namespaces/chexpert/configmaps/chexpert", data)))["Object store"]
    assert finding.state is State.UNKNOWN
    assert "not reachable from here" in finding.found


def test_a_cluster_that_does_not_answer_is_one_line(recorded_api: Cluster) -> None:
    """Nothing else is asked."""
    found = examine(recorded_api({"/version": ClusterUnavailable("https://x", "refused")}))
    assert list(found) == ["Kubernetes"]
    assert found["Kubernetes"].state is State.MISSING


def test_the_table_and_the_exit_code_say_the_same() -> None:
    """Only what is needed and lacks ends with 1; words from a cluster are no markup."""
    good = [Finding("a", State.OK, "[bold]x"), Finding("b", State.ABSENT, "-"), Finding("c", State.UNKNOWN, "-")]
    assert (exit_code(good), summary(good)) == (0, "1 ok, 1 absent, 1 unknown")
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(good))
    assert "[bold]x" in console.export_text()
    assert exit_code([*good, Finding("d", State.TOO_OLD, "-")]) == 1


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    """Python, git, a port and the disk: a folder that is not made yet is that of its parent."""
    found = {finding.check: finding for finding in local.examine(tmp_path / "not" / "yet", (0,))}
    assert found["Python"].state is found["git"].state is State.OK
    assert str(tmp_path) in found["Disk"].found
    assert found["Port 0"].found == "free"
