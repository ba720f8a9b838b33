import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from chexpert.domain.errors import InputError
from chexpert.domain.observations import OBSERVATIONS
from chexpert.simulator.load import LoadImage, LoadSettings, run_load
from chexpert.simulator.load_report import LoadReport, LoadThresholds, RequestRow, judge_load
from chexpert.simulator.tiles import TileSource
from chexpert.testing.predictor import FakePredictor, Said, say

IMAGES = [LoadImage(kind, TileSource().sample(n).data) for n, kind in enumerate(("fixed-dx", "cr-plate", "blank"))]
SETTINGS = LoadSettings(concurrency=4, requests=60)


def every_third(said: Said) -> Callable[[bytes], Said]:
    """Plain answers, but for the image of the kind `blank`."""
    return lambda image: said if image == IMAGES[2].data else say(image)


def test_a_sound_predictor_bears_the_load() -> None:
    """Every request is answered and accounted for, by kind and by version, and the verdict says so."""
    with FakePredictor() as predictor:
        report = run_load(predictor.url, IMAGES, SETTINGS)
        assert (report.requests, len(predictor.images)) == (60, 60)
        assert 1 < predictor.in_flight_max <= 4
    assert report.outcomes == {"ok": 60}
    assert report.versions == {"v1": 60}
    assert {row["kind"]: row["requests"] for row in report.table()} == {
        "all": 60,
        "fixed-dx": 20,
        "cr-plate": 20,
        "blank": 20,
    }
    verdict = judge_load(report, LoadThresholds(version="v1"), subject="v1")
    assert verdict.passed, verdict.reasons
    assert verdict.evidence[0]["requests"] == 60


NAN = Said(scores=(math.nan,) * len(OBSERVATIONS))
FAULTS = {
    "a NaN": (NAN, "nan", "20 of 60 answers hold a NaN"),
    "a NaN in the priority": (Said(priority=math.nan), "nan", "20 of 60 answers hold a NaN"),
    "a score of 1.2": (Said(scores=(1.2,) * len(OBSERVATIONS)), "range", "outside of"),
    "a server fault": (Said(status=500), "fault", "20 of 60 requests ended in a server fault"),
    "no answer": (Said(status=503), "unavailable", "20 of 60 requests got no answer"),
    "a refused image": (Said(status=400), "refused", "20 images refused"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_for_some_images_is_refused_and_named(fault: str) -> None:
    """The verdict counts it, names the image kind, and repeats what the server said."""
    said, outcome, words = FAULTS[fault]
    with FakePredictor(every_third(said)) as predictor:
        report = run_load(predictor.url, IMAGES, SETTINGS)
    assert report.outcomes == {outcome: 20, "ok": 40}
    verdict = judge_load(report, LoadThresholds(), subject="v2")
    assert not verdict.passed
    (reason,) = verdict.reasons
    assert words in reason
    assert "blank" in reason


def test_a_slow_version_is_refused() -> None:
    """The 95th percentile over the limit is one reason, with both figures."""
    with FakePredictor(lambda image: replace(say(image), delay_s=0.05)) as predictor:
        report = run_load(predictor.url, IMAGES, SETTINGS)
    verdict = judge_load(report, LoadThresholds(p95_ms=40.0), subject="v2")
    assert not verdict.passed
    assert verdict.reasons[0].startswith("p95 latency ")
    assert verdict.reasons[0].endswith("over 40 ms")
    assert judge_load(report, LoadThresholds(), subject="v2").passed


def test_a_version_that_was_not_asked_is_refused() -> None:
    """A load meant for v2 says nothing about v2 if v1 answered."""
    with FakePredictor() as predictor:
        report = run_load(predictor.url, IMAGES, SETTINGS)
    verdict = judge_load(report, LoadThresholds(version="v2"), subject="v2")
    assert verdict.reasons == ("asked v2, answered also by v1 60",)


def test_a_predictor_that_is_not_there_loses_every_request() -> None:
    """Nothing hangs, nothing raises: each has its row, and the verdict refuses."""
    report = run_load("http://127.0.0.1:9", IMAGES, SETTINGS)
    assert report.outcomes == {"unavailable": 60}
    assert report.versions == {}
    assert "60 of 60 requests got no answer" in judge_load(report, LoadThresholds(), subject="v2").reasons[0]


def test_too_few_requests_say_nothing() -> None:
    """A p95 of ten requests passes no gate, and neither does no request at all."""
    rows = tuple(RequestRow("fixed-dx", "ok", 1.0, "v1") for _ in range(10))
    assert not judge_load(LoadReport(rows, 1.0, 1), LoadThresholds(), subject="v1").passed
    assert not judge_load(LoadReport((), 1.0, 1), LoadThresholds(requests=0), subject="v1").passed


def test_refusing_a_tolerated_kind_is_no_failure_but_refusing_a_standard_one_is() -> None:
    """A server may say no to a blank film if the site agreed to that."""
    rows = tuple(RequestRow("blank", "refused", 1.0, message="blank") for _ in range(100))
    thresholds = LoadThresholds(tolerated_refusals=frozenset({"blank"}))
    assert judge_load(LoadReport(rows, 1.0, 1), thresholds, subject="v1").passed
    other = (*rows, RequestRow("fixed-dx", "refused", 1.0, message="no"))
    assert not judge_load(LoadReport(other, 1.0, 1), thresholds, subject="v1").passed


def test_a_paced_load_keeps_its_rate() -> None:
    """20 requests at 50 per second take 0.38 s at least, however fast the answers come."""
    with FakePredictor() as predictor:
        report = run_load(predictor.url, IMAGES, LoadSettings(requests=20, per_s=50.0))
    assert 0.37 < report.wall_s < 2.0


def test_a_load_ends_with_its_duration_or_when_it_is_stopped() -> None:
    """Without a count of requests either of both ends it, and what was begun is answered."""
    with FakePredictor() as predictor:
        report = run_load(predictor.url, IMAGES, LoadSettings(requests=None, duration_s=0.3))
        assert 0.3 <= report.wall_s < 2.0
        stop = threading.Event()
        seen: list[RequestRow] = []

        def stop_after_ten(row: RequestRow) -> None:
            seen.append(row)
            if len(seen) == 10:
                stop.set()

        settings = LoadSettings(requests=None, duration_s=60.0)
        began = time.perf_counter()
        stopped = run_load(predictor.url, IMAGES, settings, stop=stop, progress=stop_after_ten)
    assert time.perf_counter() - began < 10.0
    assert 10 <= stopped.requests <= 14
    assert stopped.outcomes == {"ok": stopped.requests}


@pytest.mark.parametrize("wrong", [{"requests": None}, {"concurrency": 0}], ids=str)
def test_a_load_without_end_or_without_senders_is_refused(wrong: dict[str, int | None]) -> None:
    """Before anything is sent."""
    with pytest.raises(InputError):
        LoadSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one image"):
        run_load("http://127.0.0.1:9", [], SETTINGS)
