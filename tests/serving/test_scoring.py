"""One request's way through a version: made ready, run, answered or given up, and its place free again."""

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.store import Bundle, BundleRef
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import Outcome
from chexpert.serving import scoring
from chexpert.serving.batching import TOLERANCE
from chexpert.serving.errors import FaultyAnswer, QueueFull
from chexpert.serving.exchange import Exchange, Stage
from chexpert.serving.isvc import ServedVersion
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.scoring import Job, Query, Work, start
from chexpert.serving.settings import ServeSettings
from chexpert.serving.versions import Scorer, Version, load, open_bundle
from chexpert.testing.bundles import draw_pixels

Pixels = NDArray[np.uint8]

MANY = 65
"""Images of 64 px that are too many to be made ready by the caller's thread."""


@dataclass(frozen=True)
class Gated:
    """A graph that can be held up."""

    scorer: Scorer
    open: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    runs: list[int] = field(default_factory=list)
    """Images of each."""

    @property
    def lanes(self) -> int:
        """As many as it has."""
        return self.scorer.lanes

    def run(self, pixels: Pixels) -> NDArray[np.float32]:
        """Its scores, once it is let through."""
        self.runs.append(len(pixels))
        self.entered.set()
        assert self.open.wait(30)
        return self.scorer.run(pixels)

    def warm(self) -> None:
        """Not held up."""
        self.scorer.warm()


@dataclass(frozen=True)
class Served:
    """A version and what holds it up."""

    version: Version
    gate: Gated

    def begin(self, query: Query, exchange: Exchange | None = None) -> tuple[Job, Future[Work]]:
        """One request, and how it ends."""
        done: Future[Work] = Future()
        return start(self.version, query, exchange or Exchange("", "", ""), done.set_result), done

    def answer(self, query: Query, exchange: Exchange | None = None) -> Work:
        """One request, to its end."""
        return self.begin(query, exchange)[1].result(30)


@pytest.fixture
def settings() -> dict[str, int]:
    """Of the version of the test; a test gives its own by parametrisation."""
    return {}


@pytest.fixture
def served(one: BundleRef, settings: dict[str, int]) -> Iterator[Served]:
    """A bundle of the product behind a gate that stands open."""
    gates: list[Gated] = []

    def gated(version: str, bundle: Bundle, threads: int) -> Scorer:
        gates.append(Gated(open_bundle(version, bundle, threads)))
        gates[-1].open.set()
        return gates[-1]

    what = ServedVersion("v1", one.uri, one.digest, traffic=100)
    version = load(what, ServeSettings(manifest=Path("unread.yaml"), **settings), gated, ServerMetrics())
    gates[0].runs.clear()
    gates[0].entered.clear()
    try:
        yield Served(version, gates[0])
    finally:
        gates[0].open.set()
        version.retire(wait=True)


@pytest.fixture
def pixels() -> Pixels:
    """Eight images."""
    return draw_pixels(np.random.default_rng(5), 8, 64)


def asked(pixels: Pixels) -> Query:
    return Query("id", (), pixels, shadow=False, version="")


def test_a_bundles_scores_do_not_depend_on_the_batch(served: Served, pixels: Pixels) -> None:
    """A real graph is batched, and each of eight images has the scores that it has alone, to 1e-6."""
    assert served.version.batcher.max_batch == 8
    alone = [served.answer(asked(pixels[i : i + 1])).reply for i in range(8)]
    together = served.answer(asked(pixels)).reply
    assert together is not None
    for i, reply in enumerate(alone):
        assert reply is not None
        assert np.abs(reply.scores[0] - together.scores[i]).max() <= TOLERANCE


def test_an_exchange_knows_its_stages_and_its_batch(served: Served, jpeg: bytes) -> None:
    """After an answer the stages it came to are timed, in the order they ended, and none is negative."""
    exchange = Exchange("POST", "/", "id")
    served.answer(Query("id", (jpeg, jpeg), None, shadow=False, version=""), exchange)
    assert [passage.stage for passage in exchange.passages] == [Stage.QUEUE, Stage.DECODE, Stage.QUEUE, Stage.MODEL]
    assert all(seconds >= 0 for seconds in exchange.seconds().values())
    assert exchange.batch == 2


@pytest.mark.parametrize("settings", [{"workers": 1}])
def test_few_pixels_wait_for_a_run_and_for_no_worker(served: Served, pixels: Pixels) -> None:
    """While a run is under way and the only worker busy, three requests are ready and share the next run."""
    block, exchanges = threading.Event(), [Exchange("", "", "") for _ in range(4)]
    served.version.executor.submit(block.wait, 30)
    served.gate.open.clear()
    _, first = served.begin(asked(pixels[:1]))
    assert served.gate.entered.wait(30)
    few = [served.begin(asked(pixels[:1]), exchange)[1] for exchange in exchanges[:3]]
    _, many = served.begin(asked(pixels[:1].repeat(MANY, axis=0)), exchanges[3])
    served.gate.open.set()
    assert [done.result(30).error for done in (first, *few)] == [None] * 4
    assert not many.done()
    block.set()
    assert many.result(30).error is None
    assert [exchange.batch for exchange in exchanges] == [3, 3, 3, MANY]
    stages = [[passage.stage for passage in exchange.passages] for exchange in exchanges[2:]]
    assert stages == [[Stage.DECODE, Stage.QUEUE, Stage.MODEL], [Stage.QUEUE, Stage.DECODE, Stage.QUEUE, Stage.MODEL]]


@pytest.mark.parametrize("settings", [{"workers": 1, "queue": 1}])
@pytest.mark.parametrize("count", [1, MANY])
def test_a_request_given_up_holds_no_image(served: Served, pixels: Pixels, count: int) -> None:
    """While it waits, for a worker or for a run, it has nothing left of what was sent; then it is not worked on."""
    block = threading.Event()
    served.version.executor.submit(block.wait, 30)
    served.gate.open.clear()
    if count == 1:
        served.version.batcher.enqueue(Occupant())
        assert served.gate.entered.wait(30)
    sent = pixels[:1].repeat(count, axis=0)
    held, runs = weakref.ref(sent), len(served.gate.runs)
    job, done = served.begin(asked(sent))
    del sent
    assert held() is not None
    with pytest.raises(QueueFull):
        served.begin(asked(pixels))
    job.give_up()
    assert held() is None
    served.gate.open.set()
    block.set()
    answer_once_free(served, asked(pixels))
    assert served.gate.runs[runs:] == [8]
    assert not done.done()


class Occupant:
    """What keeps the graph busy, and takes no place."""

    def claim(self) -> Pixels:
        """One image."""
        return np.zeros((1, 1, 64, 64), np.uint8)

    def scored(self, _: object) -> None:
        """Nobody asked."""

    def failed(self, error: Exception) -> None:
        """Nobody asked."""
        raise error


def answer_once_free(served: Served, query: Query) -> Work:
    """The answer of the first try that finds a place."""
    for _ in range(3000):
        try:
            return served.answer(query)
        except QueueFull:
            threading.Event().wait(0.01)
    pytest.fail("no place came free in 30 s")


@pytest.mark.parametrize("settings", [{"queue": 1}])
def test_a_request_given_up_in_its_run_is_not_heard_of(served: Served, pixels: Pixels) -> None:
    """It runs to its end, tells nobody, and its place is taken until then."""
    served.gate.open.clear()
    job, done = served.begin(asked(pixels[:1]))
    assert served.gate.entered.wait(30)
    job.give_up()
    with pytest.raises(QueueFull):
        served.begin(asked(pixels))
    served.gate.open.set()
    assert answer_once_free(served, asked(pixels)).error is None
    assert served.gate.runs == [1, 8]
    assert not done.done()


@pytest.mark.parametrize("settings", [{"queue": 1}])
def test_a_request_given_up_while_it_is_decoded_is_not_run(
    served: Served, jpeg: bytes, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its worker makes afterwards waits for no run."""
    entered, going_on, decode = threading.Event(), threading.Event(), scoring.decode

    def slow(data: bytes, target: int) -> object:
        entered.set()
        assert going_on.wait(30)
        return decode(data, target=target)

    monkeypatch.setattr(scoring, "decode", slow)
    job, done = served.begin(Query("id", (jpeg,), None, shadow=False, version=""))
    assert entered.wait(30)
    job.give_up()
    going_on.set()
    assert answer_once_free(served, asked(pixels)).error is None
    assert served.gate.runs == [8]
    assert not done.done()


@pytest.mark.parametrize("settings", [{"queue": 2, "workers": 1}])
def test_a_full_queue_is_free_again_whatever_became_of_its_requests(served: Served, pixels: Pixels) -> None:
    """Answered and failed requests give their places back, wrong sizes at once."""
    assert served.answer(asked(pixels[:, :, :32, :32])).error is not None
    served.gate.open.clear()
    _, waiting = served.begin(asked(pixels))
    _, failed = served.begin(Query("id", (b"no image",), None, shadow=False, version=""))
    assert failed.result(30).error is not None
    _, waiting_too = served.begin(asked(pixels))
    with pytest.raises(QueueFull):
        served.begin(asked(pixels))
    served.gate.open.set()
    assert [done.result(30).error for done in (waiting, waiting_too)] == [None, None]
    for _ in range(3):
        assert served.answer(asked(pixels)).error is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({3: 1.5, 5: np.nan}, (Outcome.NOT_A_NUMBER, 5)), ({3: -0.1, 5: 1.5}, (Outcome.OUT_OF_RANGE, 3))],
)
def test_scores_that_are_no_probabilities_are_told_by_the_worst(
    served: Served, pixels: Pixels, monkeypatch: pytest.MonkeyPatch, wrong: dict[int, float], told: tuple[Outcome, int]
) -> None:
    """No number comes before a number out of range, whatever their order; the observation and the image are named."""
    scores = np.full((1, len(OBSERVATIONS)), 0.5, np.float32)
    for column, value in wrong.items():
        scores[0, column] = value
    monkeypatch.setattr(served.version.batcher, "_run", lambda _: scores)
    error = served.answer(asked(pixels[:1])).error
    assert isinstance(error, FaultyAnswer)
    assert error.outcome == told[0]
    assert f"{OBSERVATIONS[told[1]]} of image 1" in str(error)


def test_a_retired_version_answers_what_it_took(served: Served, jpeg: bytes, pixels: Pixels) -> None:
    """Retired without waiting, it still decodes, runs and answers, and its threads end."""
    served.gate.open.clear()
    ends = [served.begin(asked(pixels))[1] for _ in range(3)]
    ends += [served.begin(Query("id", (jpeg,), None, shadow=False, version=""))[1] for _ in range(3)]
    served.version.retire()
    served.gate.open.set()
    assert [done.result(30).error for done in ends] == [None] * 6
    for thread in threading.enumerate():
        if "v1" in thread.name:
            thread.join(30)
    assert not [thread.name for thread in threading.enumerate() if "v1" in thread.name]


@pytest.mark.parametrize(
    ("wanted", "quota", "threads"), [(0, "300000 100000", 3), (0, "50000 100000", 1), (5, "max 100000", 5)]
)
def test_workers_are_as_many_as_cpus(
    one: BundleRef, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: int, *, quota: str, threads: int
) -> None:
    """Unless told: as many as the quota of the machine's eight."""
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("chexpert.serving.versions.available_cpus", lambda: available_cpus(tmp_path, {}))
    what = ServedVersion("v1", one.uri, one.digest, traffic=100)
    settings = ServeSettings(manifest=Path("unread.yaml"), workers=wanted, threads=1)
    version = load(what, settings, open_bundle, ServerMetrics())
    try:
        assert version.executor._max_workers == threads
    finally:
        version.retire(wait=True)
