"""How a server ends, what its log holds then, and when it does not begin."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from chexpert.bundle.store import BundleRef
from chexpert.domain.digests import of_bytes
from chexpert.serving.client import PredictorRefused, V2Client
from chexpert.serving.settings import NoDigest, OpenToAll, ServeSettings, WhatToServe
from chexpert.testing import bundles

Write = Callable[..., str]


def command() -> list[str]:
    return [sys.executable, "-c", "from chexpert.cli.serve import app; app()"]


def test_sigterm_under_load_loses_nothing(start: Callable[..., Any], isvc_text: Write, one: BundleRef) -> None:
    """Every request that was accepted is answered with 200 and logged; then the port is closed and the exit is 0."""
    served = start(isvc_text(("v7", one)))
    served.wait_weights({"v7": 100})
    run_file = served.manifest.with_name("run.json")
    answered: list[int] = []
    broken: list[Exception] = []

    def ask() -> None:
        with httpx.Client(base_url=served.http, timeout=30.0) as client:
            while True:
                try:
                    body = {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 64, 64]}]}
                    body["inputs"][0]["data"] = [7] * 4096
                    answered.append(client.post("/v2/models/chexpert/infer", json=body).status_code)
                except httpx.ConnectError:
                    return  # not accepted: the listening socket is closed
                except httpx.TransportError as error:
                    broken.append(error)
                    return

    assert served.stop_under(4, ask) == 0
    assert not broken
    assert len(answered) > 20
    assert set(answered) == {200}
    assert len(served.logged("v7")["outcome"]) == len(answered)
    assert not run_file.exists()


def test_the_log_tells_outcomes_apart(
    start: Callable[..., Any], isvc_text: Write, folder: Path, jpeg: bytes, png: bytes
) -> None:
    """One row per image: answers with scores, the caller's faults as rejected, NaN as the version's own fault."""
    broken = bundles.tiny(f"{folder}/bundles", seed=5, nan_above=0.9)
    served = start(isvc_text(("v8", broken)))
    served.wait_weights({"v8": 100})
    with V2Client(served.http) as client, httpx.Client(base_url=served.http) as plain:
        answers = client.score_images([jpeg, png], request_id="two")
        client.score_images([jpeg], request_id="again", shadow=True)
        with pytest.raises(PredictorRefused):
            client.score_images([b"no image"], request_id="bad")
        white = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 64, 64], "data": [255] * 4096}
        failed = plain.post("/v2/models/chexpert/infer", json={"id": "white", "inputs": [white]})
        assert (failed.status_code, failed.headers["x-model-version"]) == (500, "v8")
        assert "not a number" in failed.json()["error"]
        assert 'chexpert_errors_total{version="v8"} 1.0' in plain.get("/metrics").text
    assert served.stop() == 0
    rows = served.logged("v8")
    assert rows["request"].tolist() == ["two", "two", "again", "bad", "white"]
    assert rows["outcome"].tolist() == ["ok", "ok", "ok", "rejected", "nan"]
    assert rows["shadow"].tolist() == [False, False, True, False, False]
    assert rows["image_sha256"][:2].tolist() == [of_bytes(jpeg), of_bytes(png)]
    assert rows["priority"][0] == pytest.approx(answers[0].priority)
    assert rows["Edema"][1] == pytest.approx(answers[1].scores[5])
    assert rows["flag"][0] == answers[0].flag
    assert rows["aspect"][0] == pytest.approx(1.0)
    assert rows["mean"][0] == pytest.approx(0.5, abs=0.2)
    assert (rows["latency_ms"] > 0).all()


def test_a_pod_serves_its_mounted_bundle(tmp_path: Path, two: BundleRef, jpeg: bytes) -> None:
    """With --model-dir and the two variables of the predictor's env, the same server serves one version."""
    run_file = tmp_path / "run.json"
    process = subprocess.Popen(
        [*command(), f"--model-dir={two.uri}", "--port=0", "--grpc-port=-1", f"--run-file={run_file}"],
        env={**os.environ, "CHEXPERT_VERSION": "v2", "CHEXPERT_BUNDLE_DIGEST": two.digest},
    )
    try:
        while not run_file.exists():
            assert process.poll() is None
            time.sleep(0.05)
        with V2Client(f"http://127.0.0.1:{json.loads(run_file.read_text())['http']}") as client:
            while not client.readiness().ready:
                assert process.poll() is None
                time.sleep(0.05)
            assert client.score_images([jpeg])[0].version == "v2"
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def test_a_pod_with_another_bundle_ends_with_the_reason(tmp_path: Path, two: BundleRef) -> None:
    """A mounted bundle of another digest is not served: the pod fails, and says why."""
    done = subprocess.run(
        [*command(), f"--model-dir={two.uri}", "--port=0", "--grpc-port=-1"],
        env={**os.environ, "CHEXPERT_VERSION": "v2", "CHEXPERT_BUNDLE_DIGEST": "0" * 64},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "another digest than the expected" in " ".join(done.stderr.decode().replace("│", "").split())


def test_listening_beyond_loopback_needs_a_gateway() -> None:
    """V2 asks nobody who they are: other addresses are refused unless something else keeps strangers out."""
    with pytest.raises(OpenToAll, match="--behind-gateway"):
        ServeSettings(manifest=Path("isvc.yaml"), host="0.0.0.0")  # noqa: S104 -- the refusal is the point
    behind = ServeSettings(manifest=Path("isvc.yaml"), host="0.0.0.0", behind_gateway=True)  # noqa: S104
    assert behind.behind_gateway


def test_nothing_or_two_things_to_serve_are_refused() -> None:
    """Either a file or a mounted bundle."""
    for settings in ({}, {"manifest": Path("a"), "model_dir": Path("b")}):
        with pytest.raises(WhatToServe):
            ServeSettings(**settings)


def test_a_mounted_bundle_without_digest_is_refused() -> None:
    """Nothing is served unverified; without a version there is nothing to verify yet."""
    with pytest.raises(NoDigest, match="CHEXPERT_BUNDLE_DIGEST"):
        ServeSettings(model_dir=Path("models"), version="v2")
    assert not ServeSettings(model_dir=Path("models")).version


def test_a_server_loads_neither_training_nor_reports() -> None:
    """A server's process holds no torch, MLflow or Evidently; the client not even the SDK."""
    heavy = "{m for m in ('torch', 'mlflow', 'evidently', 'lightning') if m in sys.modules}"
    client = "{m for m in ('kserve', 'fastapi', 'pandas', 'onnxruntime', 'pyarrow') if m in sys.modules}"
    program = f"import sys, chexpert.serving.client; assert not {client}; import chexpert.serving.app; print({heavy})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
