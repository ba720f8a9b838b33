"""Shadow replays against the product's own server, with two real versions."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chexpert.domain.digests import of_bytes
from chexpert.gitops import promotion
from chexpert.monitoring import window
from chexpert.monitoring.replay import Replay, ReplaySettings, replay
from chexpert.serving.client import V2Client
from chexpert.testing import bundles
from chexpert.testing.predictor import FakePredictor
from chexpert.testing.rollouts import EMPTY_ENVIRONMENT

START_S = 60.0


@dataclass(frozen=True)
class Running:
    """A server with a stable v1, its twin v2 and another model v3, and images in its objects."""

    objects: str
    url: str
    images: tuple[str, ...]
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("place")
    objects, manifest, run_file = folder / "objects", folder / "isvc.yaml", folder / "run.json"
    one = bundles.tiny(f"{objects}/bundles", seed=1, operating_point=1.1)
    three = bundles.tiny(f"{objects}/bundles", seed=2, operating_point=0.0)
    twins = promotion.start_canary(
        promotion.first(EMPTY_ENVIRONMENT, "v1", one.uri, one.digest), "v2", one.uri, one.digest, 10
    )
    kept = promotion.start_canary(
        promotion.first(EMPTY_ENVIRONMENT, "v1", one.uri, one.digest), "v3", three.uri, three.digest, 0
    )
    manifest.write_text(twins + kept[kept.index("  - trafficPercent") :])
    arguments = [
        f"--manifest={manifest}",
        f"--objects={objects}",
        f"--run-file={run_file}",
        "--port=0",
        "--grpc-port=0",
    ]
    with (folder / "log").open("wb") as log:
        program = [sys.executable, "-c", "from chexpert.cli.serve import app; app()"]
        process = subprocess.Popen([*program, *arguments], stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + START_S
        while not run_file.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert run_file.exists(), (folder / "log").read_text()
        url = f"http://127.0.0.1:{json.loads(run_file.read_text())['http']}"
        with V2Client(url) as client:
            while not client.readiness().ready and time.monotonic() < until:
                time.sleep(0.05)
        yield Running(str(objects), url, store(objects, 6), process)
    finally:
        process.terminate()
        process.wait(timeout=30)


def store(objects: Path, count: int) -> tuple[str, ...]:
    (objects / "images").mkdir(parents=True, exist_ok=True)
    names = []
    for pixels in bundles.draw_pixels(np.random.default_rng(3), count, 64):
        buffer = io.BytesIO()
        Image.fromarray(pixels[0]).save(buffer, "PNG")
        names.append(of_bytes(buffer.getvalue()))
        (objects / "images" / names[-1]).write_bytes(buffer.getvalue())
    return tuple(names)


def ask(running: Running, candidate: str, *, images: tuple[str, ...] | None = None, count: int = 40) -> Replay:
    settings = ReplaySettings(images=count)
    chosen = running.images if images is None else images
    return replay(running.objects, running.url, chosen, candidate=candidate, stable="v1", settings=settings)


def test_a_twin_agrees_and_another_model_does_not(running: Running) -> None:
    """The same bytes to both versions directly: a twin differs nowhere, another model everywhere."""
    assert ask(running, "v2") == Replay(images=6)
    other = ask(running, "v3")
    assert (other.images, other.flags_differ, other.candidate_failed) == (6, 6, 0)
    assert other.mean_difference > 0.01


def test_an_image_counts_once_and_only_so_many_are_sent(running: Running) -> None:
    """Repeats are dropped, the number is bounded, images whose bytes are gone are only counted."""
    assert ask(running, "v2", images=(*running.images, *running.images)).images == 6
    assert ask(running, "v2", count=2).images == 2
    assert ask(running, "v2", images=("0" * 64, running.images[0])) == Replay(images=1, missing=1)


def test_a_version_that_does_not_answer_has_failed(running: Running) -> None:
    """A candidate nobody serves fails where the stable answers; a stable that is gone proves nothing."""
    assert ask(running, "v9").candidate_failed == 6
    settings = ReplaySettings()
    gone = replay(running.objects, running.url, running.images, candidate="v2", stable="v9", settings=settings)
    assert gone == Replay(stable_failed=6)


def test_each_version_has_its_own_address_on_a_cluster(running: Running) -> None:
    """With a version's own address that one is asked, without the path that KServe's router does not know."""
    with FakePredictor() as stable:  # answers as v1
        settings = ReplaySettings(version_url=stable.url + "/{version}")
        seen = replay(running.objects, "", running.images, candidate="v2", stable="v1", settings=settings)
    assert seen == Replay(candidate_failed=6)


def test_replays_are_no_traffic_of_the_version(running: Running) -> None:
    """They are logged as shadow: the windows that a stage is judged on stay empty."""
    ask(running, "v3")
    running.process.terminate()
    running.process.wait(timeout=30)
    parts = list(Path(running.objects).glob("log/*/v3/*.parquet"))
    assert parts
    since = datetime.now(UTC) - timedelta(hours=1)
    assert window.read(running.objects, since, ["v1", "v3"])["v3"].requests == 0
