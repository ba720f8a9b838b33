import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from chexpert.domain.places import Places
from chexpert.local.demo.chapters import report_run
from chexpert.local.demo.command import DemoRequest, _plan
from chexpert.local.demo.display import Display
from chexpert.local.demo.plan import Plan, Sizes
from chexpert.local.demo.record import Record
from chexpert.local.demo.traffic import BackgroundLoad, load_images
from chexpert.pipeline.runner.results import RunResult, RunStatus, StepResult, StepStatus
from chexpert.simulator.load import LoadImage
from chexpert.testing.predictor import FakePredictor

FIRST, SECOND = LoadImage("first", b"1"), LoadImage("second", b"2")
STEPS = ("ingest", "train-cnn", "train-vit", "evaluate", "optimise", "register", "load-test", "propose")


@pytest.fixture
def predictor() -> Iterator[FakePredictor]:
    with FakePredictor() as running:
        yield running


def until(condition: Callable[[], bool], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def plan(tmp_path: Path) -> Plan:
    asked = _plan(DemoRequest(data=None, traffic=None, fault="", once=True, home=tmp_path))
    return replace(asked, sizes=Sizes(pool=4))


def test_every_request_is_accounted_for_across_a_change_of_images(predictor: FakePredictor) -> None:
    """What the server saw and what the report says are the same, before and after the images are replaced."""
    load = BackgroundLoad(predictor.url, [FIRST], per_s=200)
    load.start()
    until(lambda: len(predictor.images) >= 5)
    load.replace([SECOND], per_s=200)
    until(lambda: predictor.images.count(b"2") >= 5)
    load.stop()
    seen = Counter(predictor.images)
    rows = load.report.rows
    assert Counter(row.kind for row in rows) == {"first": seen[b"1"], "second": seen[b"2"]}
    assert load.report.outcomes == {"ok": len(rows)}
    assert load.report.wall_s > 0


def test_a_request_without_an_answer_is_accounted_for_too(predictor: FakePredictor) -> None:
    """A predictor that went away shows in the report; the load goes on and ends when told."""
    load = BackgroundLoad(predictor.url, [FIRST], per_s=100)
    load.start()
    until(lambda: bool(predictor.images))
    predictor.__exit__(None, None, None)
    time.sleep(0.3)
    predictor.__enter__()
    before = len(predictor.images)
    until(lambda: len(predictor.images) > before)
    load.stop()
    outcomes = load.report.outcomes
    assert outcomes["ok"] > 0
    assert outcomes["unavailable"] > 0


def test_a_load_that_never_ran_has_an_empty_report(predictor: FakePredictor) -> None:
    """A demo whose first model was refused sends no traffic and still accounts for it."""
    load = BackgroundLoad(predictor.url, [FIRST], per_s=100)
    load.stop()
    assert load.report.requests == 0
    assert predictor.images == []


def test_each_turn_sends_other_phantoms(tmp_path: Path) -> None:
    """The same turn sends the same images, another turn or a shift sends others."""
    asked = plan(tmp_path)
    turns = [load_images(asked, 0), load_images(asked, 0), load_images(asked, 1), load_images(asked, 0, shifted=True)]
    assert all(len(images) == 4 for images in turns)
    data = [tuple(image.data for image in images) for images in turns]
    assert data[0] == data[1]
    assert len({data[0], data[2], data[3]}) == 3


def test_a_traffic_folder_is_what_is_sent(tmp_path: Path) -> None:
    """With TRAFFIC no phantom goes out."""
    folder = tmp_path / "online"
    folder.mkdir()
    for grey in (10, 80, 140, 200):
        Image.new("L", (20, 20), grey).save(folder / f"{grey}.png")
    images = load_images(replace(plan(tmp_path), traffic=folder), 0)
    assert {image.data for image in images} == {path.read_bytes() for path in folder.iterdir()}


def test_training_takes_from_the_first_start_to_the_last_end(tmp_path: Path) -> None:
    """Two networks that train side by side are timed once, both trainings of a demo added up."""
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    spans = {"train-cnn": (0, 9), "train-vit": (2, 12)}
    steps = []
    for name in STEPS:
        start, end = (noon + timedelta(seconds=s) for s in spans.get(name, (0, 100)))
        steps.append(StepResult(name, name, StepStatus.SUCCEEDED, tmp_path / name, start, end))
    record = Record()
    for run in ("first-0", "candidate-0"):
        result = RunResult(run, RunStatus.SUCCEEDED, tuple(steps), tmp_path)
        report_run(result, Places(objects=str(tmp_path)), record, Display(Console(file=io.StringIO())))
    (phase,) = record.phases
    assert phase.seconds == pytest.approx(24.0)
    assert phase.budget_s is not None
