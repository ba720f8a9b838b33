"""Dynamic batching without a waiting time: what arrives while the graph runs goes together into the next run.

A lone request starts at once, so one caller is never slower than without batching. A graph that takes its images one by
one gains nothing from sharing a run: it has several lanes instead, and each request runs by itself. Each lane is a
thread that waits for the next request: handing a run to a pool of them took more of the processor than all else here.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Batcher", "Run", "Scored", "Waiting", "batch_error", "batch_limit"]

_LOGGER: Final = logging.getLogger(__name__)

TOLERANCE: Final = 1e-6
"""How far a score may move with the batch its image is in."""
_PROBED: Final = 2
"""Images of the batch that is tried at the start: a batch of 8 was half of the time from start to ready."""


class Run(Protocol):
    """The run of a graph: uint8 (n, 1, size, size) to float32 (n, 14)."""

    def __call__(self, pixels: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Scores of the pixels."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What one request gets of a run."""

    scores: NDArray[np.float32]
    """Its own rows, in its order."""
    batch: int
    """Images in its run, its own included."""
    started: float
    """Of its run, as of `time.perf_counter`, s."""
    ended: float
    """As `started`."""


class Waiting(Protocol):
    """A request that waits for a run. A lane's thread calls `claim`, and then one of the others; none may raise."""

    def claim(self) -> NDArray[np.uint8] | None:
        """Its pixels, when its run is about to begin; None if it was given up meanwhile: that is the last of it."""

    def scored(self, scored: Scored) -> None:
        """Here are its scores."""

    def failed(self, error: Exception) -> None:
        """What the graph raised for it alone."""


_Claimed = tuple[Waiting, NDArray[np.uint8]]


class Batcher:
    """Requests waiting for one version's graph, and the threads that run it."""

    def __init__(self, run: Run, max_batch: int, on_run: Callable[[int], None], lanes: int = 1, name: str = "") -> None:
        """Nothing waits yet.

        Args:
            run: May raise; a batch that fails is repeated one request at a time, so that none fails for its neighbour.
            max_batch: Images in one run; a larger request is cut.
            on_run: Told the number of images of each run.
            lanes: Runs that may go on at once. With several no two requests share one: three images on two cores would
                leave a core idle for half of their run.
            name: Of the threads.
        """
        self._run = run
        self._max_batch = max_batch
        self._on_run = on_run
        self._may_share = lanes == 1
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._threads = [Thread(target=self._lane, name=f"{name}-{lane}", daemon=True) for lane in range(lanes)]
        for thread in self._threads:
            thread.start()

    @property
    def max_batch(self) -> int:
        """Images in one run, at most."""
        return self._max_batch

    def enqueue(self, waiting: Waiting) -> None:
        """Have it answered by the next run; from any thread."""
        self._waiting.put(waiting)

    def close(self) -> None:
        """Answer what waits, and end the threads. Nothing may be enqueued any more."""
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _lane(self) -> None:
        first = self._next(block=True)
        while first is not None:
            batch, first = self._beginning_with(first)
            self._answer(batch)
            del batch  # a lane that waits must not hold what it answered
            first = first or self._next(block=True)

    def _next(self, *, block: bool) -> _Claimed | None:
        """The next that was not given up; None where none waits, or none is to come."""
        while True:
            try:
                waiting = self._waiting.get(block)
            except Empty:
                return None
            if waiting is None:
                self._waiting.put(None)  # for the other lanes, and for the next call
                return None
            if (pixels := waiting.claim()) is not None:
                return waiting, pixels

    def _beginning_with(self, first: _Claimed) -> tuple[list[_Claimed], _Claimed | None]:
        """The requests of the next run, and the one that no longer fits."""
        batch, rows = [first], len(first[1])
        while self._may_share and rows < self._max_batch and (following := self._next(block=False)) is not None:
            rows += len(following[1])
            if rows > self._max_batch:
                return batch, following
            batch.append(following)
        return batch, None

    def _answer(self, batch: Sequence[_Claimed]) -> None:
        started = perf_counter()
        try:
            scores = self._scores([pixels for _, pixels in batch])
        except Exception as error:  # noqa: BLE001 -- whatever a graph raises belongs to its callers, not to this thread
            if len(batch) == 1:
                batch[0][0].failed(error)
                return
            for one in batch:
                self._answer([one])
            return
        ended, at = perf_counter(), 0
        for waiting, pixels in batch:
            rows = scores[at : at + len(pixels)]
            at += len(pixels)
            waiting.scored(Scored(rows, len(scores), started, ended))

    def _scores(self, parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
        runs = [self._one_run(pixels[at : at + self._max_batch]) for at in range(0, len(pixels), self._max_batch)]
        return runs[0] if len(runs) == 1 else np.concatenate(runs)

    def _one_run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._on_run(len(pixels))
        scores = self._run(pixels)
        if len(scores) != len(pixels):
            msg = f"the graph answered shape {scores.shape} for {len(pixels)} images"
            raise ValueError(msg)
        return scores


def batch_error(run: Run, size: int, batch: int) -> float:
    """Largest change of a score of the first and the last of `batch` images, between that batch and a run alone.

    Args:
        run: The graph's.
        size: Side of its square images in pixels.
        batch: Number of images.
    """
    rng = np.random.default_rng(0)
    # Of different contrast: a graph that scales by the whole batch (dynamic int8) is seen by that.
    spread = np.linspace(8, 255, batch)[:, None, None, None]
    pixels = (rng.random((batch, 1, size, size)) * spread).astype(np.uint8)
    together = run(pixels)
    ends = sorted({0, batch - 1})
    return max(float(np.abs(together[i] - run(pixels[i : i + 1])[0]).max()) for i in ends)


def batch_limit(name: str, run: Run, size: int, wanted: int) -> int:
    """Images that may share a run of this graph: `wanted`, or 1 where a score then moves by more than TOLERANCE."""
    if wanted <= 1:
        return 1
    moved = batch_error(run, size, _PROBED)
    if moved <= TOLERANCE:  # NaN compares false
        return wanted
    _LOGGER.warning("version %s is not batched: a score moves by %.2g with its batch", name, moved)
    return 1
