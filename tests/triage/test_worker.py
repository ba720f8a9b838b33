"""The worker against a real V2 server over HTTP, up, down and wrong."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from chexpert.data import label_events
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.studies import Tier
from chexpert.testing.bundles import tiny
from chexpert.testing.predictor import FakePredictor, Said, say
from chexpert.triage import exporting, reading, worklist
from chexpert.triage.intake import Order, Upload, accept
from chexpert.triage.reading import Reader
from chexpert.triage.settings import WorkerSettings
from chexpert.triage.site import Site
from chexpert.triage.tables import ImageRow, LabelEventRow, Marks, PredictionRow, Study
from chexpert.triage.worker import Worker

QUICK = WorkerSettings(poll_s=0.02, backoff_s=0.05, backoff_max_s=0.1, retry_max_s=5.0, timeout_s=2.0)
ADA = Reader("ada")


@pytest.fixture
def predictor() -> Iterator[FakePredictor]:
    with FakePredictor() as running:
        yield running


@pytest.fixture
def worker(site: Site, predictor: FakePredictor) -> Iterator[Worker]:
    one = Worker(site.database, site.settings.objects, replace(QUICK, predictor=predictor.url), clock=site.clock)
    yield one
    one.close()


@pytest.fixture
def add(site: Site, png: Callable[..., bytes]) -> Callable[..., str]:
    def _add(*seeds: int, tier: Tier = Tier.ROUTINE) -> str:
        return accept(site, Order(tier, accession=f"A{seeds[0]}"), [Upload(f"{s}.png", png(s)) for s in seeds]).study

    return _add


def _study(site: Site, study: str) -> Study:
    with site.database.read() as session:
        return session.get_one(Study, study)


def _listed(site: Site) -> list[str]:
    with site.database.read() as session:
        now = site.clock()
        return [row.study.id for row in worklist.ranked(session, site.settings.rule, worklist.Query(now, 100))]


def test_every_image_is_answered_and_the_study_raised(
    site: Site,
    png: Callable[..., bytes],
    predictor: FakePredictor,
    worker: Worker,
    add: Callable[..., str],
) -> None:
    """Scores, priority, flag and version are stored; the priority is the highest of the images; the flag raises."""
    scores = tuple(0.9 if o is Observation.PNEUMOTHORAX else 0.1 for o in OBSERVATIONS)
    predictor.answer = lambda image: Said(scores, 0.95, "Pneumothorax") if image == png(2) else Said(priority=0.4)
    plain, study = add(1), add(2, 3)
    assert worker.turn() == 3
    row = _study(site, study)
    assert row.priority == pytest.approx(0.95)
    assert (row.flag, row.flag_score, row.version) == ("Pneumothorax", pytest.approx(0.9), "v1")
    assert Tier(row.raised_tier) is Tier.STAT
    assert _listed(site) == [study, plain]
    assert _study(site, plain).priority == pytest.approx(0.4)
    assert worker.turn() == 0
    assert len(predictor.images) == 3


def test_a_predictor_that_is_down_leaves_the_list_as_it_is_and_is_caught_up_with(
    site: Site,
    predictor: FakePredictor,
    worker: Worker,
    add: Callable[..., str],
) -> None:
    """Down: all listed in order of arrival within their tier. Back on its address: all answered, without a restart."""
    predictor.__exit__(None, None, None)
    routine = [add(seed) for seed in range(5)]
    urgent = add(9, tier=Tier.URGENT)
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        time.sleep(0.3)
        assert _listed(site) == [urgent, *routine]
        predictor.__enter__()
        deadline = time.monotonic() + 10
        while any(_study(site, one).priority is None for one in (*routine, urgent)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        worker.stop()
        running.join()
    assert len(predictor.images) == 6


def test_requests_in_flight_are_bounded(predictor: FakePredictor, worker: Worker, add: Callable[..., str]) -> None:
    """Asks in parallel, never more at once than the settings allow."""
    predictor.answer = lambda image: replace(say(image), delay_s=0.05)
    for seed in range(12):
        add(seed)
    assert worker.turn() == 12
    assert 2 <= predictor.in_flight_max <= QUICK.parallel


def test_a_refused_image_is_said_and_not_asked_again(
    site: Site,
    predictor: FakePredictor,
    worker: Worker,
    add: Callable[..., str],
) -> None:
    """4xx is the image's fault: 'not analysed' with its reason, listed still, asked once."""
    predictor.answer = lambda _: Said(status=400, error="lateral view")
    study = add(1)
    assert worker.turn() == 1
    assert worker.turn() == 0
    assert len(predictor.images) == 1
    assert _study(site, study).refusal == "lateral view"
    assert _listed(site) == [study]


@pytest.mark.parametrize(
    "wrong",
    [
        Said(status=500),
        Said((float("nan"),) * 14),
        Said((1.5,) * 14),
        Said(priority=float("inf")),
        Said((0.1,) * 13),
        Said(flag="Support Devices"),
        Said(flag="Sunshine"),
    ],
    ids=["500", "nan", "range", "priority", "13 scores", "no reason to flag", "no observation"],
)
def test_nonsense_is_never_shown_and_asked_again_later(
    site: Site,
    clock: Any,
    predictor: FakePredictor,
    worker: Worker,
    add: Callable[..., str],
    *,
    wrong: Said,
) -> None:
    """An answer that no model may give leaves the study unflagged in arrival order; a later good one is taken."""
    first, second = add(1), add(2)
    predictor.answer = lambda _: wrong
    assert worker.turn() == 0
    assert _listed(site) == [first, second]
    assert _study(site, first).priority is None
    predictor.answer = say
    assert worker.turn() == 0  # not yet: each failure doubles the wait
    clock.forward(seconds=1)
    assert worker.turn() == 2
    assert _study(site, first).priority is not None


def test_one_failing_image_does_not_hold_up_the_others(
    site: Site,
    png: Callable[..., bytes],
    predictor: FakePredictor,
    worker: Worker,
    add: Callable[..., str],
) -> None:
    """A version that fails on one image answers the rest."""
    predictor.answer = lambda image: Said(status=500) if image == png(1) else say(image)
    studies = [add(seed) for seed in range(4)]
    assert worker.turn() == 3
    assert [_study(site, one).priority is None for one in studies] == [False, True, False, False]


def test_without_a_predictor_nothing_is_asked(site: Site, add: Callable[..., str]) -> None:
    """An empty address is no error: the site works unflagged."""
    study = add(1)
    assert Worker(site.database, site.settings.objects, QUICK).turn() == 0
    assert _listed(site) == [study]


def test_predictions_are_appended(site: Site, worker: Worker, add: Callable[..., str]) -> None:
    """A second answer for an image is a second row; the study shows the newest."""
    study = add(1)
    worker.turn()
    with site.database.write() as session:
        session.scalars(select(ImageRow)).one().pending = True
    worker.turn()
    with site.database.read() as session:
        assert session.scalar(select(func.count()).select_from(PredictionRow)) == 2
    assert _study(site, study).version == "v1"


def test_marks_come_from_the_served_bundles_card(
    site: Site,
    predictor: FakePredictor,
    worker: Worker,
    add: Callable[..., str],
) -> None:
    """Operating points are read once from the card whose digest the server tells; without one, pages do without."""
    add(1)
    worker.turn()
    with site.database.read() as session:
        assert session.get(Marks, "v1") is None
    bundle = tiny(f"{site.settings.objects}/bundles", operating_point=0.3)
    predictor.digests["v2"] = bundle.digest
    predictor.answer = lambda image: replace(say(image), version="v2")
    add(2)
    worker.turn()
    with site.database.read() as session:
        assert session.get_one(Marks, "v2").points["Edema"] == pytest.approx(0.3)


def _sign(site: Site, study: str) -> None:
    with site.database.write() as session:
        reading.open_study(session, study, ADA, site.clock())
        reading.answer(session, study, ADA, {Observation.EDEMA: 1, Observation.FRACTURE: None}, site.clock())
        reading.sign(session, study, ADA, site.clock())


def test_label_events_are_exported_exactly_once(site: Site, worker: Worker, add: Callable[..., str]) -> None:
    """What the reader said lies under feedback/ after one turn, and not a second time after the next."""
    study = add(1)
    _sign(site, study)
    assert worker.turn() == 3  # one image answered, two events written
    assert worker.turn() == 0
    events = label_events.read(f"{site.settings.objects}/feedback")
    assert [(one.observation, one.value, one.final) for one in events] == [("Edema", 1, True), ("Fracture", None, True)]
    assert all(one.study == study and one.opened is not None for one in events)


def test_a_kill_between_writing_and_marking_doubles_nothing(
    site: Site,
    worker: Worker,
    add: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part that was written but not marked is written again under the same name, whatever came meanwhile."""
    _sign(site, add(1))
    written: list[str] = []

    write = label_events.write

    def write_and_die(events: Any, uri: str) -> str:
        written.append(write(events, uri))
        raise OSError(28, "killed")

    monkeypatch.setattr(exporting.parts, "write", write_and_die)
    with pytest.raises(OSError, match="killed"):
        worker.turn()
    monkeypatch.undo()
    _sign(site, add(2))
    worker.turn()
    worker.turn()
    parts = sorted(Path(f"{site.settings.objects}/feedback").rglob("*.parquet"))
    assert written[0] in {str(part) for part in parts}
    assert len(parts) == 2
    assert len(label_events.read(f"{site.settings.objects}/feedback")) == 4
    with site.database.read() as session:
        assert all(row.exported for row in session.scalars(select(LabelEventRow)))


def test_events_reach_the_feedback_folder_while_the_predictor_hangs(
    site: Site,
    predictor: FakePredictor,
    worker: Worker,
    add: Callable[..., str],
) -> None:
    """Exporting does not wait for scoring: a signed study is exported within a second or so."""
    predictor.answer = lambda image: replace(say(image), delay_s=1.5)
    study = add(1)
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        time.sleep(0.1)
        _sign(site, study)
        signed = time.monotonic()
        while not label_events.read(f"{site.settings.objects}/feedback"):
            assert time.monotonic() - signed < timedelta(seconds=1.2).total_seconds()
            time.sleep(0.02)
    finally:
        worker.stop()
        running.join()
