import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.step import MissingArtifact, StepContext
from chexpert.pipeline.steps import load_test
from chexpert.simulator.load import standard_mix
from chexpert.testing.predictor import FakePredictor, Said, say

Contexts = Callable[..., StepContext]


@pytest.fixture
def staging() -> Iterator[FakePredictor]:
    with FakePredictor() as predictor:
        yield predictor


@pytest.fixture
def run(context: Contexts, ingested: Any, staging: FakePredictor) -> Callable[..., tuple[StepContext, Verdict]]:
    """Loads the fake staging, which is said to serve v1."""

    def load(version: str = "v1") -> tuple[StepContext, Verdict]:
        staged = {"url": staging.url, "version": version, "commit": ""}
        made = context("load-test", inputs={"staged": staged, "manifest": ingested.manifest})
        return made, load_test.run(made)

    return load


def test_a_sound_version_passes_and_is_measured(run: Any, staging: FakePredictor, ingested: Any) -> None:
    """Every kind of image was sent, every request is accounted for, and the report stands beside the verdict."""
    context, verdict = run()
    assert verdict.passed
    assert verdict.subject == "v1"
    measured = json.loads((context.outputs / "measurements").read_text())
    assert measured["requests"] == load_test.REQUESTS
    assert measured["outcomes"] == {"ok": load_test.REQUESTS}
    assert measured["versions"] == {"v1": load_test.REQUESTS}
    assert {row["kind"] for row in measured["table"]} == {"all", "evaluation split"} | {
        image.kind for image in standard_mix()
    }
    assert staging.in_flight_max > 1
    valid = [
        Path(path).read_bytes() for path in ingested.manifest.column("image_path")[ingested.manifest.rows("valid")]
    ]
    asked = Counter(staging.images)
    assert all(asked[data] >= 2 for data in valid)
    report = (context.outputs / "report").read_text()
    assert "Load test of v1: passed" in report
    assert Path(context.places.object("reports", context.run, "load-test.html")).read_text() == report
    assert Verdict.from_json((context.outputs / "verdict").read_text()) == verdict


def blank_only(wrong: Said) -> Callable[[bytes], Said]:
    """Answers the mix's blank image wrongly and every other one soundly."""
    (blank,) = (image.data for image in standard_mix() if image.kind == "blank")
    return lambda data: wrong if data == blank else say(data)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Said(scores=(float("nan"),) * len(OBSERVATIONS)), "NaN"),
        (Said(scores=(1.5,) * len(OBSERVATIONS)), r"outside of \[0, 1\]"),
        (Said(scores=(0.5,) * 13), "server fault.*not a V2 answer"),
        (Said(status=500), "server fault"),
        (Said(status=400), "images refused"),
    ],
    ids=["nan", "range", "length", "fault", "refused"],
)
def test_one_kind_of_image_answered_wrongly_is_refused(
    run: Any, staging: FakePredictor, wrong: Said, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blank film alone is enough: the verdict names what was wrong with which kind."""
    monkeypatch.setattr(load_test, "REQUESTS", 100)
    staging.answer = blank_only(wrong)
    context, verdict = run()
    assert not verdict.passed
    (reason,) = verdict.reasons
    assert "blank" in reason
    assert re.search(said, reason)
    assert "Load test of v1: refused" in (context.outputs / "report").read_text()
    assert Verdict.from_json((context.outputs / "verdict").read_text()) == verdict


def test_another_version_answering_is_refused(
    run: Any, staging: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was loaded has to be what was staged."""
    monkeypatch.setattr(load_test, "REQUESTS", 60)
    staging.answer = lambda data: replace(say(data), version="v2")
    _, verdict = run()
    assert verdict.reasons == (f"asked v1, answered also by v2 {load_test.REQUESTS}",)


def test_a_slow_version_is_refused(run: Any, staging: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request in ten takes over a second: nobody shall wait for that."""
    monkeypatch.setattr(load_test, "REQUESTS", 52)
    number = itertools.count()
    staging.answer = lambda data: replace(say(data), delay_s=1.1 if next(number) % 10 == 0 else 0.0)
    _, verdict = run()
    (reason,) = verdict.reasons
    assert re.fullmatch(r"p95 latency [1-9]\d{3} ms over 1000 ms", reason)


def test_a_staging_that_is_down_is_refused(run: Any, staging: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests without an answer are counted against the version."""
    monkeypatch.setattr(load_test, "REQUESTS", 60)
    staging.__exit__(None, None, None)
    try:
        _, verdict = run()
    finally:
        staging.__enter__()
    assert any("60 of 60 requests got no answer" in reason for reason in verdict.reasons)


def test_nothing_staged_is_told(context: Contexts, ingested: Any) -> None:
    """Without the stage step's word there is nothing to load."""
    with pytest.raises(MissingArtifact, match="load-test needs the artifact staged"):
        load_test.run(context("load-test", inputs={"manifest": ingested.manifest}))
