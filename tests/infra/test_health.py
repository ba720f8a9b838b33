"""Argo CD's health rules, run by Lua 5.1 in a sandbox like Argo CD's, on objects as the API server shows them."""

import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lupa.lua51 import LuaError
from ruamel.yaml import YAML

from infra_checks.lua import NoArgoCD, argo_cd_says, health_of

ROOT = Path(__file__).parents[2]
RULES = ROOT / "argo" / "cd" / "health"
RECORDED = Path(__file__).parent / "recorded"
CHANGE = re.compile(r"lastTransitionTime: '(.+)'")
SOMETIME = datetime(2026, 8, 21, 14, 26, 3, tzinfo=UTC)
NO_ACCOUNT = (
    'pods "rollout-1795432620-advance-1588522903" is forbidden: error looking up service account '
    'chexpert/chexpert-rollout: serviceaccount "chexpert-rollout" not found'
)


def said(kind: str, moment: str, after_s: float) -> tuple[str, str]:
    """The rule's answer so many seconds after the object's last change."""
    text = (RECORDED / kind / f"{moment}.yaml").read_text(encoding="utf-8")
    changed = max((datetime.fromisoformat(found) for found in CHANGE.findall(text)), default=SOMETIME)
    observed = YAML(typ="safe").load(text)
    return health_of(RULES / f"{kind}.lua", observed, changed + timedelta(seconds=after_s))


@pytest.mark.parametrize(
    ("moment", "after_s", "status", "message"),
    [
        ("empty", 9999, "Healthy", "no model yet: the first promotion brings one"),
        ("new", 0, "Progressing", "KServe has not reported yet"),
        ("serving", 9999, "Healthy", "v12 serves 100 %"),
        ("canary-not-taken-up", 1, "Progressing", "v12 serves 100 %; canary v13 10 %: not taken up by KServe yet"),
        (
            "canary-waiting",
            299,
            "Progressing",
            "v12 serves 100 %; canary v13 (10 %) not ready: waiting since 2026-08-21T14:26:03Z",
        ),
        (
            "canary-waiting",
            301,
            "Degraded",
            "v12 serves 100 %; canary v13 (10 %) not ready: waiting since 2026-08-21T14:26:03Z",
        ),
        ("canary-ready", 9999, "Healthy", "v12 serves 90 %; canary v13 10 %, ready"),
        ("weight-changed", 9999, "Progressing", "v12 serves 100 %; canary v13 50 %: not taken up by KServe yet"),
        ("swapped", 9999, "Healthy", "v13 serves 100 %; canary v12 0 %, ready"),
        ("withdrawn", 9999, "Progressing", "v12 serves 100 %; v13 is being taken away"),
        ("stopped", 9999, "Suspended", "stopped by the annotation serving.kserve.io/stop"),
    ],
)
def test_an_inference_service_says_who_serves_and_why_it_waits(
    moment: str, after_s: float, status: str, message: str
) -> None:
    """Version, share and canary stand in the message; a canary that waits is Degraded only after five minutes."""
    assert said("inferenceservice", moment, after_s) == (status, message)


@pytest.mark.parametrize(
    ("moment", "after_s", "status", "told"),
    [
        ("starting", 20, "Progressing", "v12, with no pod ready, is to serve 100 %"),
        ("starting", 20, "Progressing", "PredictorReady is False: MinimumReplicasUnavailable: Deployment does not"),
        ("starting", 400, "Degraded", "PredictorReady is False: MinimumReplicasUnavailable: Deployment does not"),
        ("scaling-back", 60, "Progressing", "v12 serves 100 %; PredictorReady is False"),
        ("model-failed", 20, "Degraded", "RuntimeError: S3 resource 'chexpert' not found."),
        ("no-runtime", 20, "Progressing", "InvalidSpec: RuntimeNotRecognized: Waiting for runtime to become available"),
        ("no-runtime", 400, "Degraded", "InvalidSpec: RuntimeNotRecognized: Waiting for runtime to become available"),
        ("route-refused", 20, "Progressing", "IngressReady is False: NotAllowedByListeners: Predictor HttpRoute not"),
        ("route-refused", 400, "Degraded", "IngressReady is False: NotAllowedByListeners: Predictor HttpRoute not"),
    ],
)
def test_a_stable_that_is_not_ready_is_degraded_only_by_time_or_a_failed_model(
    moment: str, after_s: float, status: str, told: str
) -> None:
    """A stable that starts or scales back is Progressing, whatever `Ready` says; the reason is told."""
    found, message = said("inferenceservice", moment, after_s)
    assert found == status
    assert told in message


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_the_time_limit_does_not_depend_on_the_time_zone() -> None:
    """Nine hours east the limit is five minutes too."""
    assert os.environ["TZ"] == "Asia/Tokyo"
    assert said("inferenceservice", "canary-waiting", 299)[0] == "Progressing"
    assert said("inferenceservice", "canary-waiting", 301)[0] == "Degraded"


@pytest.mark.parametrize(
    ("moment", "status", "message"),
    [
        ("new", "Progressing", "not taken up by the controller yet"),
        ("running", "Progressing", "running train, train"),
        ("succeeded", "Healthy", "succeeded"),
        (
            "refused",
            "Degraded",
            "failed; evaluate refused, verdict in artifacts/continuous-x-7k2vd/evaluate/verdict.tgz",
        ),
        ("fault", "Degraded", "failed; train failed: OOMKilled (exit code 137)"),
        (
            "no-account",
            "Degraded",
            f"error; advance failed: {NO_ACCOUNT}",
        ),
        ("error", "Degraded", "error; invalid spec: template name 'x' undefined"),
        ("retried", "Healthy", "succeeded"),
        ("suspended", "Suspended", "suspended"),
    ],
)
def test_a_workflow_says_its_phase_and_which_gate_refused(moment: str, status: str, message: str) -> None:
    """Exit code 3 is a refusal with its verdict, any other a fault; a retry that went well is neither."""
    assert said("workflow", moment, 0) == (status, message)


@pytest.mark.parametrize(
    ("moment", "status", "message"),
    [
        ("new", "Healthy", "not started yet"),
        ("between", "Healthy", "last started 2026-08-21T14:26:03Z"),
        ("running", "Healthy", "last started 2026-08-21T14:26:03Z, 1 running"),
        ("suspended", "Healthy", "suspended, last started 2026-08-21T14:26:03Z"),
        (
            "refused",
            "Degraded",
            "SubmissionError: Failed to submit Workflow: template advance is not defined",
        ),
    ],
)
def test_a_schedule_says_when_it_last_started(moment: str, status: str, message: str) -> None:
    """A refused one is Degraded. A suspended one is not Suspended: git wants it, and sync waves wait for Healthy."""
    assert said("cronworkflow", moment, 0) == (status, message)


@pytest.mark.parametrize(
    ("moment", "after_s", "status", "told"),
    [
        ("no-model", 0, "Healthy", "chexpert-predictor 1"),
        ("service-gone", 9, "Progressing", 'getting service: service "chexpert-predictor" not found'),
        ("new", 0, "Progressing", "no gateway has taken up the route yet: chexpert-v12-predictor 100"),
        ("weights", 0, "Healthy", "chexpert-v12-predictor 90, chexpert-v13-predictor 10"),
        ("stale", 0, "Progressing", "the gateway follows an older version of the route"),
        ("missing-service", 30, "Progressing", "ResolvedRefs is False, BackendNotFound: service chexpert-production/"),
        ("missing-service", 90, "Degraded", "ResolvedRefs is False, BackendNotFound: service chexpert-production/"),
        ("not-accepted", 90, "Degraded", "Accepted is False, NotAllowedByListeners: no listener takes this route"),
    ],
)
def test_a_route_shows_its_weights(moment: str, after_s: float, status: str, told: str) -> None:
    """The weights as they stand on the route, and whether the gateway follows it."""
    found, message = said("httproute", moment, after_s)
    assert found == status
    assert told in message


@pytest.mark.parametrize(
    ("moment", "status", "message"),
    [
        ("new", "Progressing", ""),
        ("missing", "Missing", ""),
        ("healthy", "Healthy", ""),
        ("suspended", "Healthy", "suspended: stopped by the annotation serving.kserve.io/stop"),
        ("sync-failed", "Missing", "sync Failed: one or more objects failed to apply"),
    ],
)
def test_an_application_is_as_healthy_as_what_it_installs(moment: str, status: str, message: str) -> None:
    """Without this a sync wave would not wait for the Applications of the one before."""
    assert said("application", moment, 0) == (status, message)


def test_argo_cd_itself_says_the_same(tmp_path: Path) -> None:
    """Its own program runs every rule on every recorded object: the sandbox of these tests is no kinder."""
    rules = {entry.partition("=")[0]: (RULES / entry.partition("=")[2]).read_text() for entry in generated()["files"]}
    settings = tmp_path / "argocd-cm.yaml"
    settings.write_text(json.dumps(config_map("argocd-cm") | {"data": rules}))
    recorded = sorted(RECORDED.rglob("*.yaml"))
    try:
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(lambda path: argo_cd_says(settings, path), recorded))
    except NoArgoCD as missing:
        pytest.skip(str(missing))
    now = datetime.now(UTC)
    ours = [health_of(RULES / f"{p.parent.name}.lua", YAML(typ="safe").load(p), now) for p in recorded]
    assert dict(zip(recorded, told, strict=True)) == dict(zip(recorded, ours, strict=True))


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def generated() -> dict[str, Any]:
    (found,) = YAML(typ="safe").load(RULES / "kustomization.yaml")["configMapGenerator"]
    return dict(found)


def test_every_rule_is_a_key_of_argo_cds_settings() -> None:
    """The generator names each Lua file once, by group and kind."""
    named = [entry.partition("=")[2] for entry in generated()["files"]]
    assert sorted(named) == sorted(path.name for path in RULES.glob("*.lua"))
    assert generated()["name"] == "argocd-cm"


@pytest.mark.parametrize(
    "rule",
    [
        'return {status = "Healthy", message = string.upper("x")}',
        'return {status = "Healthy", message = ("x"):upper()}',
        'return {status = "Healthy", message = os.date("%Y")}',
        'return {status = "Healthy", message = tostring(math.floor(1.5))}',
        'return {status = "Healthy", message = io.open("x"):read()}',
    ],
)
def test_the_sandbox_refuses_what_argo_cds_refuses(tmp_path: Path, rule: str) -> None:
    """A rule that uses a library Argo CD does not open fails here too, not only on a cluster."""
    path = tmp_path / "rule.lua"
    path.write_text(rule)
    with pytest.raises(LuaError):
        health_of(path, {}, SOMETIME)


def test_the_sandboxes_date_ignores_utc_beside_a_given_time(tmp_path: Path, far_east: Any) -> None:
    """Argo CD's `os.date` does; a rule that relies on "!" would be hours off."""
    path = tmp_path / "rule.lua"
    path.write_text('local os = require("os")\nreturn {status = os.date("!%H"), message = os.date("!%H", os.time())}')
    assert far_east is None
    assert health_of(path, {}, SOMETIME) == ("14", "23")
