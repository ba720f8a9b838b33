"""kserve/: what an environment is made of, and what a promotion and another registry do to it."""

import shutil
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from chexpert.gitops import promotion
from chexpert.serving.client import MODEL
from chexpert.serving.isvc import parse
from chexpert.serving.settings import ServeSettings
from infra_checks.builds import NoKustomize, build
from infra_checks.objects import ROOT, everything
from rendering import Manifest

ENVIRONMENTS = ["staging", "production"]
GRACE_S = next(field.default for field in fields(ServeSettings) if field.name == "grace_s")
"""How long the server lets requests in flight finish, seconds."""


def one(environment: str, kind: str) -> Manifest:
    (found,) = [m for m in everything()[f"kserve/{environment}"] if m["kind"] == kind]
    return found


def container() -> dict[str, Any]:
    (found,) = one("production", "ServingRuntime")["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_a_namespace_with_one_service(environment: str) -> None:
    """Names as everything else has them: InferenceService chexpert in chexpert-<environment>."""
    try:
        objects = build(ROOT / "kserve" / environment)
    except NoKustomize as missing:
        pytest.skip(str(missing))
    assert {m["metadata"]["namespace"] for m in objects} == {f"chexpert-{environment}"}
    assert sorted(m["kind"] for m in objects) == ["InferenceService", "ServiceAccount", "ServingRuntime"]
    assert one(environment, "InferenceService")["metadata"]["name"] == MODEL


def test_another_registry_reaches_the_serving_runtime(tmp_path: Path) -> None:
    """`images:` of an overlay, which KServe's kind takes like any other, and by digest too."""
    image = {"name": "chexpert/serve", "newName": "registry.example.org/serve", "digest": f"sha256:{'a' * 64}"}
    overlay = {"resources": ["kserve/production"], "images": [image]}
    shutil.copytree(ROOT / "kserve", tmp_path / "kserve")
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    try:
        objects = build(tmp_path)
    except NoKustomize as missing:
        pytest.skip(str(missing))
    (runtime,) = [m for m in objects if m["kind"] == "ServingRuntime"]
    assert runtime["spec"]["containers"][0]["image"] == f"registry.example.org/serve@sha256:{'a' * 64}"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_begins_without_model_and_without_pods(environment: str) -> None:
    """KServe takes a model without storageUri for a multi-model server and gives its pods a sidecar."""
    text = (ROOT / "kserve" / environment / "inferenceservice.yaml").read_text(encoding="utf-8")
    assert parse(text, where=environment).stable is None
    assert yaml.safe_load(text)["spec"]["predictor"]["minReplicas"] == 0


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_first_promotion_brings_pods(environment: str) -> None:
    """With the version come its replicas; none would be a model that nobody answers for."""
    text = (ROOT / "kserve" / environment / "inferenceservice.yaml").read_text(encoding="utf-8")
    promoted = promotion.first(text, "v1", f"s3://chexpert/bundles/sha256-{'a' * 64}", "a" * 64)
    assert yaml.safe_load(promoted)["spec"]["predictor"]["minReplicas"] >= 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_service_runs_a_runtime_that_is_there(environment: str) -> None:
    """By a name that carries the package's version, and with its account."""
    predictor = one(environment, "InferenceService")["spec"]["predictor"]
    runtime = one(environment, "ServingRuntime")
    ours = version("chexpert")
    assert predictor["model"]["runtime"] == runtime["metadata"]["name"] == f"chexpert-{ours.replace('.', '-')}"
    assert runtime["spec"]["containers"][0]["image"] == f"chexpert/serve:{ours}"
    assert predictor["serviceAccountName"] == one(environment, "ServiceAccount")["metadata"]["name"]
    formats = {f["name"] for f in runtime["spec"]["supportedModelFormats"]}
    assert predictor["model"]["modelFormat"]["name"] in formats
    assert predictor["model"]["protocolVersion"] in runtime["spec"]["protocolVersions"]


def test_no_request_is_lost_when_a_pod_goes() -> None:
    """A pod waits until routes have changed, then the server ends by itself, and only then the pod's time is up."""
    wait = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    for environment in ENVIRONMENTS:
        grace = one(environment, "InferenceService")["spec"]["predictor"]["terminationGracePeriodSeconds"]
        assert wait + GRACE_S < grace


def test_readiness_means_the_model_is_ready() -> None:
    """The model's own address, not the server's, asked often enough for a stage of a rollout."""
    probe = container()["readinessProbe"]
    assert probe["httpGet"]["path"] == f"/v2/models/{MODEL}/ready"
    assert probe["periodSeconds"] <= 2


def test_the_inference_log_reaches_s3() -> None:
    """Root and endpoint come with the ConfigMap, the keys with the Secret that the storage initializer has too."""
    sources = {next(iter(s.values()))["name"] for s in container()["envFrom"]}
    assert sources == {"chexpert", "chexpert-objects"}
    account = one("production", "ServiceAccount")
    assert [secret["name"] for secret in account["secrets"]] == ["chexpert-objects"]


def test_nothing_that_changes_stands_in_the_services_metadata() -> None:
    """KServe copies labels and annotations into every pod template: a version there would restart all pods."""
    for environment in ENVIRONMENTS:
        metadata = one(environment, "InferenceService")["metadata"]
        assert "app.kubernetes.io/version" not in metadata.get("labels", {})
        assert metadata["annotations"] == {
            "serving.kserve.io/deploymentMode": "Standard",
            "serving.kserve.io/autoscalerClass": "none",
        }
