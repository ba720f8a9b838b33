"""The load on the house's own model server, in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chexpert.serving.client import V2Client
from chexpert.simulator.load import LoadSettings, run_load, standard_mix
from chexpert.simulator.load_report import LoadThresholds, judge_load
from chexpert.testing import bundles

START_S = 60.0
PROGRAM = "from chexpert.cli.serve import app; app()"


@contextmanager
def serving(folder: Path, nan_above: float | None) -> Iterator[str]:
    """Serve one tiny bundle as v7; gives the base URL."""
    ref = bundles.tiny(str(folder / "bundles"), nan_above=nan_above)
    run_file = folder / "run.json"
    command = [
        *(sys.executable, "-c", PROGRAM, "--model-dir", ref.uri, "--digest", ref.digest, "--version", "v7"),
        *("--port", "0", "--grpc-port", "-1", "--run-file", str(run_file), "--cache", str(folder / "cache")),
    ]
    log = folder / "server.log"
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            wait(run_file.exists, process, log)
            url = f"http://127.0.0.1:{json.loads(run_file.read_text())['http']}"
            with V2Client(url) as client:
                wait(lambda: client.readiness().ready, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=40)


def wait(reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while not reached():
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"the server did not get ready:\n{log.read_text()}")
        time.sleep(0.05)


def test_the_server_bears_every_device_and_corner_case(tmp_path: Path) -> None:
    """Blank, tiny, huge, dark and odd images are all answered with 14 scores in [0, 1]."""
    with serving(tmp_path, nan_above=None) as url:
        report = run_load(url, standard_mix(), LoadSettings(requests=100))
    verdict = judge_load(report, LoadThresholds(p95_ms=5000.0, version="v7"), subject="v7")
    assert verdict.passed, verdict.reasons
    assert report.versions == {"v7": 100}


def test_a_bundle_that_answers_nan_for_some_images_is_refused(tmp_path: Path) -> None:
    """The server does not pass a NaN on as an answer; the load counts what it does instead, and names the images."""
    with serving(tmp_path, nan_above=0.6) as url:
        report = run_load(url, standard_mix(), LoadSettings(requests=100))
    assert 0 < report.outcomes["ok"] < 100
    verdict = judge_load(report, LoadThresholds(p95_ms=5000.0), subject="v7")
    assert not verdict.passed
    assert any(kind in verdict.reasons[0] for kind in ("inverted", "very-bright", "fixed-dx", "blank"))
