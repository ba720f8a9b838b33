"""Requests that wait for a run share the next one, and no answer tells with whom."""

import threading
import weakref
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.store import BundleRef
from chexpert.serving.batching import TOLERANCE, Batcher, Scored, batch_error, batch_limit
from chexpert.serving.errors import QueueFull
from chexpert.serving.exchange import Exchange, Stage
from chexpert.serving.isvc import ServedVersion
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.scoring import Query, start
from chexpert.serving.settings import ServeSettings
from chexpert.serving.versions import Version, load, open_bundle, worker_count
from chexpert.testing.bundles import draw_pixels

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


def image(value: int, count: int = 1) -> Pixels:
    return np.full((count, 1, 2, 2), value, dtype=np.uint8)


class Gate:
    """A graph that answers an image with its grey level, once it is let through."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []

    def run(self, pixels: Pixels) -> Scores:
        """Grey levels, unless one of them is 99."""
        grey = pixels[:, 0, 0, 0]
        self.batches.append(grey.tolist())
        self.entered.set()
        assert self.open.wait(30)
        if (grey == 99).any():
            msg = "99 is not liked"
            raise ValueError(msg)
        return np.repeat(grey[:, None].astype(np.float32), 14, axis=1)


def behind_a_run(gate: Gate, batcher: Batcher, *waiting: Pixels) -> list[Future[Scored]]:
    """Futures of what is enqueued while a run of image 0 is under way, done or given up."""
    batcher.enqueue(image(0))
    runner = threading.Thread(target=batcher.drain)
    runner.start()
    assert gate.entered.wait(30)
    futures = [batcher.enqueue(pixels) for pixels in waiting]
    batcher.drain()  # as a worker does that has decoded: it must not wait for the other's run
    gate.open.set()
    runner.join(30)
    wait(futures, 30)
    return futures


def test_a_lone_request_runs_at_once_in_its_own_thread() -> None:
    """Nothing is waited for: when `drain` returns the answer is there."""
    gate = Gate()
    gate.open.set()
    batcher = Batcher(gate.run, 8, lambda _: None)
    scored = batcher.enqueue(image(7))
    batcher.drain()
    assert scored.result(0).batch == 1
    assert gate.batches == [[7]]


def test_what_arrives_during_a_run_shares_the_next() -> None:
    """Three requests that waited are one run, each gets its own rows, and the observer is told 1 and 3."""
    gate, seen = Gate(), list[int]()
    futures = behind_a_run(gate, Batcher(gate.run, 8, seen.append), image(1), image(2), image(3))
    assert gate.batches == [[0], [1, 2, 3]]
    assert [future.result(0).scores[:, 0].tolist() for future in futures] == [[1], [2], [3]]
    assert [future.result(0).batch for future in futures] == [3, 3, 3]
    assert seen == [1, 3]


def test_a_batch_has_a_largest_size() -> None:
    """What does not fit goes into the run after, in its order; a request over the limit is cut."""
    gate = Gate()
    futures = behind_a_run(gate, Batcher(gate.run, 3, lambda _: None), image(1), image(2, 2), image(3), image(4, 5))
    assert gate.batches == [[0], [1, 2, 2], [3], [4, 4, 4], [4, 4]]
    assert [len(future.result(0).scores) for future in futures] == [1, 2, 1, 5]


def test_with_several_lanes_each_request_runs_by_itself() -> None:
    """Two lanes run at once what came together, no third run joins them, and no request waits for a neighbour's."""
    gate, seen, started = Gate(), list[int](), threading.Semaphore(0)

    def run(pixels: Pixels) -> Scores:
        started.release()
        return gate.run(pixels)

    batcher = Batcher(run, 8, seen.append, lanes=2)
    futures = [batcher.enqueue(image(value)) for value in (1, 2, 3)]
    runners = [threading.Thread(target=batcher.drain) for _ in range(2)]
    for runner in runners:
        runner.start()
    assert all(started.acquire(timeout=30) for _ in runners)
    batcher.drain()  # a third worker goes on decoding
    assert not started.acquire(blocking=False)
    assert not batcher.has_idle_lane
    gate.open.set()
    for runner in runners:
        runner.join(30)
    assert [future.result(30).scores[0, 0] for future in futures] == [1, 2, 3]
    assert seen == [1, 1, 1]
    assert batcher.has_idle_lane


def test_nobody_fails_for_a_neighbour() -> None:
    """If a run fails its requests are run alone: the one at fault gets the error, the others their scores."""
    gate = Gate()
    first, bad, last = behind_a_run(gate, Batcher(gate.run, 8, lambda _: None), image(1), image(99), image(3))
    assert first.result(0).scores[0, 0] == 1
    assert isinstance(bad.exception(0), ValueError)
    assert last.result(0).scores[0, 0] == 3


def test_a_request_taken_back_is_not_run() -> None:
    """A cancelled future leaves the queue without costing a run, and the next one still gets its turn."""
    gate = Gate()
    batcher = Batcher(gate.run, 8, lambda _: None)
    batcher.enqueue(image(0))
    runner = threading.Thread(target=batcher.drain)
    runner.start()
    assert gate.entered.wait(30)
    gone, stays = batcher.enqueue(image(1)), batcher.enqueue(image(2))
    assert gone.cancel()
    gate.open.set()
    runner.join(30)
    assert stays.result(30).batch == 1
    assert gate.batches == [[0], [2]]


def test_a_graph_that_sees_its_batch_is_not_batched(caplog: pytest.LogCaptureFixture) -> None:
    """A score scaled by the brightest image of the batch, as in dynamic int8, is found before it is served."""

    def by_the_brightest(pixels: Pixels) -> Scores:
        grey = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float32)
        return np.repeat((grey / grey.max())[:, None], 14, axis=1)

    assert batch_error(by_the_brightest, 8, 4) > TOLERANCE
    assert batch_limit("v3", by_the_brightest, 8, 4) == 1
    assert "v3 is not batched" in caplog.text


def test_a_request_taken_back_lets_go_of_its_pixels() -> None:
    """It leaves the queue at once, and not with the next run: a graph that hangs must not gather pixels."""
    batcher = Batcher(Gate().run, 8, lambda _: None)
    futures = [batcher.enqueue(image(value)) for value in (1, 2)]
    assert futures[0].cancel()
    assert [entry.scored for entry in batcher._waiting] == [futures[1]]


@pytest.mark.parametrize(
    ("wanted", "quota", "threads"),
    [
        ((0, 1), "300000 100000", 3),
        ((0, 1), "50000 100000", 2),
        ((0, 8), "max 100000", 9),
        ((0, 1), "max 100000", 8),
        ((5, 1), "max 100000", 5),
        ((2, 4), "max 100000", 4),
    ],
)
def test_workers_are_as_many_as_cpus_and_one_more_than_lanes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: tuple[int, int], quota: str, threads: int
) -> None:
    """Unless told: as many as the quota of the machine's eight, or one more than lanes; told, one per lane at least."""
    workers, lanes = wanted
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("chexpert.serving.versions.available_cpus", lambda: available_cpus(tmp_path, {}))
    assert worker_count(ServeSettings(manifest=Path("unread.yaml"), workers=workers), Lanes(lanes)) == threads


class Lanes:
    """A graph that is asked for its lanes alone."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def run(self, pixels: Pixels) -> Scores:
        """Never."""
        raise NotImplementedError(pixels.shape)

    def warm(self) -> None:
        """Nothing to warm."""


def test_a_request_given_up_holds_no_image(one: BundleRef) -> None:
    """While it waits for its turn among the workers, a cancelled job has nothing left of what was sent."""
    version, block = loaded(one, ServerMetrics(), workers=1), threading.Event()
    version.executor.submit(block.wait, 30)
    pixels = draw_pixels(np.random.default_rng(5), 1, 64)
    held = weakref.ref(pixels)
    try:
        future = start(version, asked(pixels), Exchange("", "", ""))
        del pixels
        assert held() is not None
        assert future.cancel()
        assert held() is None
    finally:
        block.set()
        version.retire(wait=True)


def loaded(bundle: BundleRef, metrics: ServerMetrics, **settings: int) -> Version:
    served = ServedVersion("v1", bundle.uri, bundle.digest, traffic=100)
    return load(served, ServeSettings(manifest=Path("unread.yaml"), **settings), open_bundle, metrics)


def asked(pixels: Pixels) -> Query:
    return Query("id", (), pixels, shadow=False, version="")


def test_a_bundles_scores_do_not_depend_on_the_batch(one: BundleRef) -> None:
    """A real graph is batched, and each of eight images has the scores that it has alone, to 1e-6."""
    version, pixels = loaded(one, ServerMetrics()), draw_pixels(np.random.default_rng(5), 8, 64)
    try:
        assert version.batcher.max_batch == 8
        alone = [start(version, asked(pixels[i : i + 1]), Exchange("", "", "")).result(30).reply for i in range(8)]
        together = start(version, asked(pixels), Exchange("", "", "")).result(30).reply
    finally:
        version.retire(wait=True)
    assert together is not None
    for i, reply in enumerate(alone):
        assert reply is not None
        assert np.abs(reply.scores[0] - together.scores[i]).max() <= TOLERANCE


def test_an_exchange_knows_its_stages_and_its_batch(one: BundleRef, jpeg: bytes) -> None:
    """After an answer the stages it came to are timed, in the order they ended, and none is negative."""
    version, exchange = loaded(one, ServerMetrics()), Exchange("POST", "/", "id")
    query = Query("id", (jpeg, jpeg), None, shadow=False, version="")
    try:
        start(version, query, exchange).result(30)
    finally:
        version.retire(wait=True)
    assert [passage.stage for passage in exchange.passages] == [Stage.QUEUE, Stage.DECODE, Stage.QUEUE, Stage.MODEL]
    assert all(seconds >= 0 for seconds in exchange.seconds().values())
    assert exchange.batch == 2


def test_few_pixels_wait_for_a_run_and_for_no_worker(one: BundleRef) -> None:
    """While the only worker is busy, three requests are ready and share the next run. Many pixels wait for it first."""
    version, block = loaded(one, ServerMetrics(), workers=1), threading.Event()
    pixels = draw_pixels(np.random.default_rng(5), 1, 64)
    exchanges = [Exchange("", "", "") for _ in range(4)]
    version.executor.submit(block.wait, 30)
    try:
        few = [start(version, asked(pixels), exchange) for exchange in exchanges[:3]]
        many = start(version, asked(pixels.repeat(65, axis=0)), exchanges[3])
        block.set()
        assert [done.error for future in (*few, many) for done in [future.result(30)]] == [None] * 4
    finally:
        block.set()
        version.retire(wait=True)
    assert [exchange.batch for exchange in exchanges[:3]] == [3, 3, 3]
    stages = [[passage.stage for passage in exchange.passages] for exchange in exchanges[2:]]
    assert stages == [[Stage.DECODE, Stage.QUEUE, Stage.MODEL], [Stage.QUEUE, Stage.DECODE, Stage.QUEUE, Stage.MODEL]]


def test_a_full_queue_is_free_again_whatever_became_of_its_requests(one: BundleRef) -> None:
    """Answered, failed and cancelled requests all give their place back."""
    version = loaded(one, ServerMetrics(), queue=2, workers=1)
    pixels = draw_pixels(np.random.default_rng(5), 1, 64)
    block = threading.Event()
    version.executor.submit(block.wait, 30)
    try:
        assert start(version, asked(pixels[:, :, :32, :32]), Exchange("", "", "")).result(0).error is not None
        cancelled = start(version, asked(pixels), Exchange("", "", ""))
        failed = start(version, Query("id", (b"no image",), None, shadow=False, version=""), Exchange("", "", ""))
        with pytest.raises(QueueFull):
            start(version, asked(pixels), Exchange("", "", ""))
        assert cancelled.cancel()
        block.set()
        assert failed.result(30).error is not None
        for _ in range(3):
            assert start(version, asked(pixels), Exchange("", "", "")).result(30).error is None
    finally:
        block.set()
        version.retire(wait=True)
