"""The registry's client against a real MLflow server on PostgreSQL, as the cluster has it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from chexpert.domain.errors import RefusedError, RetryableError
from chexpert.domain.verdicts import Verdict
from chexpert.registry import models, tracking
from chexpert.registry.errors import NoModelRegistered
from real_stores import Postgres, free_port

pytestmark = pytest.mark.timeout(240)

PASSED = Verdict("evaluation", "small-cnn", passed=True, reasons=("mean AUROC 0.81",), inputs_digest="5e")
REFUSED = Verdict("evaluation", "small-cnn", passed=False, reasons=("mean AUROC 0.51 under 0.65",))
_START_S = 120


@pytest.fixture(scope="module")
def uri(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that makes its tables in an empty database and keeps files of runs in a folder."""
    folder = tmp_path_factory.mktemp("mlflow")
    address = f"http://127.0.0.1:{(port := free_port())}"
    options = {"host": "127.0.0.1", "port": port, "workers": 1, "artifacts-destination": folder / "artifacts"}
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": postgres_server.database(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "mlflow", "server", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _START_S
    while True:
        try:
            if httpx.get(f"{address}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < ends, log.read_text()[-2000:]


def _enter(uri: str, digest: str, name: str = "chexpert", verdict: Verdict = PASSED) -> str:
    bundle = f"s3://chexpert/bundles/sha256-{digest}"
    return models.register(uri, name=name, bundle_uri=bundle, digest=digest, run_id="", verdict=verdict, tags={"x": 1})


def test_versions_aliases_and_tags(uri: str) -> None:
    """A passed bundle is entered once with its digest, an alias moves, a refused one enters nothing."""
    first, second = "a" * 64, "b" * 64
    assert (_enter(uri, first), _enter(uri, second), _enter(uri, first)) == ("v1", "v2", "v1")
    found = models.resolve(uri, "v1")
    assert (found.digest, found.bundle_uri) == (first, f"s3://chexpert/bundles/sha256-{first}")
    assert (found.tags["x"], found.tags["verdict inputs"]) == ("1", "5e")
    for version in ("v1", "v2"):
        models.set_alias(uri, "production", version)
        assert models.resolve(uri, "production").version == version
    with pytest.raises(RefusedError, match=r"0\.51 under 0\.65"):
        _enter(uri, "e" * 64, verdict=REFUSED)
    with pytest.raises(NoModelRegistered):
        models.resolve(uri, "v9")
    assert [one.version for one in models.versions(uri)] == ["v2", "v1"]


def test_a_run_keeps_what_it_was_given(uri: str, tmp_path: Path) -> None:
    """Parameters, curves, tags, and files, which travel through the server: a step needs no other address."""
    (tmp_path / "card.json").write_text("{}")
    with tracking.Tracker(uri).run(experiment="training", name="one", tags={"git": "0" * 40}) as run:
        run.params({"lr": 0.001})
        for step in range(3):
            run.metrics({"loss": 1.0 / (step + 1)}, step)
        run.artifact(tmp_path / "card.json")
    with pytest.raises(ZeroDivisionError), tracking.Tracker(uri).run(experiment="training", name="two"):
        _ = 1 // 0
    newest, oldest = tracking.runs(uri, experiment="training")
    assert (newest.name, newest.status, oldest.status) == ("two", "FAILED", "FINISHED")
    assert (oldest.params["lr"], oldest.metrics["loss"]) == ("0.001", pytest.approx(1 / 3))
    kept = run.connection.do("list_artifacts", run.run_id)
    assert [one.path for one in kept] == ["card.json"]


def test_steps_that_come_at_once(uri: str) -> None:
    """Four of them record and enter the same bundle: one version, four runs."""

    def _one(number: int) -> str:
        with tracking.Tracker(uri).run(experiment="together", name=f"{number}") as run:
            run.metrics({"loss": 1.0}, 0)
        return _enter(uri, "f" * 64, name="together")

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(_one, range(4))) == {"v1"}
    assert len(tracking.runs(uri, experiment="together")) == 4
    assert len(models.versions(uri, name="together")) == 1


def test_a_server_that_is_away_is_worth_another_try() -> None:
    """A step then ends with 75."""
    with pytest.raises(RetryableError):
        models.versions(f"http://127.0.0.1:{free_port()}")
