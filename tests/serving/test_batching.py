"""Requests that wait for a run share the next one, and no answer tells with whom."""

import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from time import monotonic, sleep

import numpy as np
import pytest
from numpy.typing import NDArray

from chexpert.serving.batching import TOLERANCE, Batcher, Run, Scored, batch_error, batch_limit

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


class Request:
    """What waits for a run, as a future; taken out of it by `take_back`."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels: Pixels | None = pixels
        self.future: Future[Scored] = Future()

    def take_back(self) -> None:
        """Nobody waits for it any more."""
        self.pixels = None

    def claim(self) -> Pixels | None:
        """As `batching.Waiting`."""
        pixels, self.pixels = self.pixels, None
        return pixels

    def scored(self, scored: Scored) -> None:
        """As `batching.Waiting`."""
        self.future.set_result(scored)

    def failed(self, error: Exception) -> None:
        """As `batching.Waiting`."""
        self.future.set_exception(error)


@contextmanager
def batching(
    run: Run, max_batch: int = 8, on_run: Callable[[int], None] = lambda _: None, lanes: int = 1
) -> Iterator[Batcher]:
    """A batcher that ends with the block."""
    batcher = Batcher(run, max_batch, on_run, lanes)
    try:
        yield batcher
    finally:
        batcher.close()


def enqueued(batcher: Batcher, *waiting: Pixels) -> list[Request]:
    requests = [Request(pixels) for pixels in waiting]
    for request in requests:
        batcher.enqueue(request)
    return requests


def behind_a_run(gate: Gate, batcher: Batcher, *waiting: Pixels) -> list[Future[Scored]]:
    """Futures of what is enqueued while a run of image 0 is under way, done."""
    enqueued(batcher, image(0))
    assert gate.entered.wait(30)
    futures = [request.future for request in enqueued(batcher, *waiting)]
    gate.open.set()
    wait(futures, 30)
    return futures


def test_what_arrives_during_a_run_shares_the_next() -> None:
    """A lone request runs at once; three that waited are one run, each gets its own rows, the observer is told."""
    gate, seen = Gate(), list[int]()
    with batching(gate.run, 8, seen.append) as batcher:
        futures = behind_a_run(gate, batcher, image(1), image(2), image(3))
    assert gate.batches == [[0], [1, 2, 3]]
    assert [future.result(0).scores[:, 0].tolist() for future in futures] == [[1], [2], [3]]
    assert [future.result(0).batch for future in futures] == [3, 3, 3]
    assert seen == [1, 3]


def test_a_batch_has_a_largest_size() -> None:
    """What does not fit goes into the run after, in its order; a request over the limit is cut."""
    gate = Gate()
    with batching(gate.run, 3) as batcher:
        futures = behind_a_run(gate, batcher, image(1), image(2, 2), image(3), image(4, 5))
    assert gate.batches == [[0], [1, 2, 2], [3], [4, 4, 4], [4, 4]]
    assert [len(future.result(0).scores) for future in futures] == [1, 2, 1, 5]


def test_with_several_lanes_each_request_runs_by_itself() -> None:
    """Two lanes run at once what came together, no third run joins them, and no request waits for a neighbour's."""
    gate, seen, started = Gate(), list[int](), threading.Semaphore(0)

    def run(pixels: Pixels) -> Scores:
        started.release()
        return gate.run(pixels)

    with batching(run, 8, seen.append, lanes=2) as batcher:
        requests = enqueued(batcher, image(1), image(2), image(3))
        assert all(started.acquire(timeout=30) for _ in range(2))
        assert not started.acquire(timeout=0.1)
        gate.open.set()
        assert [request.future.result(30).scores[0, 0] for request in requests] == [1, 2, 3]
    assert seen == [1, 1, 1]


def test_nobody_fails_for_a_neighbour() -> None:
    """If a run fails its requests are run alone: the one at fault gets the error, the others their scores."""
    gate = Gate()
    with batching(gate.run) as batcher:
        first, bad, last = behind_a_run(gate, batcher, image(1), image(99), image(3))
    assert first.result(0).scores[0, 0] == 1
    assert isinstance(bad.exception(0), ValueError)
    assert last.result(0).scores[0, 0] == 3


def test_a_request_taken_back_is_not_run() -> None:
    """It costs no run, whether it is the first of a batch or stands within one; the others still get their turn."""
    gate = Gate()
    with batching(gate.run) as batcher:
        enqueued(batcher, image(0))
        assert gate.entered.wait(30)
        gone, stays, gone_too, last = enqueued(batcher, image(1), image(2), image(3), image(4))
        gone.take_back()
        gone_too.take_back()
        gate.open.set()
        assert [request.future.result(30).batch for request in (stays, last)] == [2, 2]
    assert gate.batches == [[0], [2, 4]]


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_end_comes_after_what_waits(lanes: int) -> None:
    """`close` returns once all that was enqueued is answered and every lane's thread is gone."""
    gate, before = Gate(), threading.active_count()
    batcher = Batcher(gate.run, 2, lambda _: None, lanes)
    requests = enqueued(batcher, *(image(value) for value in range(7)))
    gate.open.set()
    batcher.close()
    assert [request.future.result(0).scores[0, 0] for request in requests] == list(range(7))
    assert threading.active_count() == before


def test_a_lane_holds_nothing_of_what_it_answered() -> None:
    """Once a request has its scores its pixels are free, though no other comes."""
    gate = Gate()
    gate.open.set()
    with batching(gate.run) as batcher:
        pixels = image(7)
        held = weakref.ref(pixels)
        (request,) = enqueued(batcher, pixels)
        del pixels
        request.future.result(30)
        until = monotonic() + 30
        while held() is not None and monotonic() < until:
            sleep(0.001)
        assert held() is None


def test_a_graph_that_sees_its_batch_is_not_batched(caplog: pytest.LogCaptureFixture) -> None:
    """A score scaled by the brightest image of the batch, as in dynamic int8, is found before it is served."""

    def by_the_brightest(pixels: Pixels) -> Scores:
        grey = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float32)
        return np.repeat((grey / grey.max())[:, None], 14, axis=1)

    assert batch_error(by_the_brightest, 8, 4) > TOLERANCE
    assert batch_limit("v3", by_the_brightest, 8, 4) == 1
    assert "v3 is not batched" in caplog.text
