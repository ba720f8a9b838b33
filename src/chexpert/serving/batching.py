"""Dynamic batching without a waiting time: what arrives while the graph runs goes together into the next run.

A lone request starts at once, so one caller is never slower than without batching. There is no thread of its own:
whichever worker comes first runs batches until nothing waits, while the others go on decoding. A graph that takes its
images one by one gains nothing from sharing a run: it has several lanes instead, and each request runs by itself.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from time import perf_counter
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Batcher", "Run", "Scored", "batch_error", "batch_limit"]

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


@dataclass(frozen=True, slots=True)
class _Waiting:
    pixels: NDArray[np.uint8]
    scored: Future[Scored]


class Batcher:
    """Requests waiting for one version's graph. All methods may be called by several threads."""

    def __init__(self, run: Run, max_batch: int, on_run: Callable[[int], None], lanes: int = 1) -> None:
        """Nothing waits yet.

        Args:
            run: May raise; a batch that fails is repeated one request at a time, so that none fails for its neighbour.
            max_batch: Images in one run; a larger request is cut.
            on_run: Told the number of images of each run.
            lanes: Runs that may go on at once. With several no two requests share one: three images on two cores would
                leave a core idle for half of their run.
        """
        self._run = run
        self._max_batch = max_batch
        self._on_run = on_run
        self._waiting: deque[_Waiting] = deque()
        self._lock = Lock()
        self._lanes = lanes
        self._running = 0

    @property
    def max_batch(self) -> int:
        """Images in one run, at most."""
        return self._max_batch

    @property
    def has_idle_lane(self) -> bool:
        """Whether a call of `drain` would run what waits; if not, those that run come to it."""
        with self._lock:
            return self._running < self._lanes

    def enqueue(self, pixels: NDArray[np.uint8]) -> Future[Scored]:
        """Have it answered by the next run; `drain` makes that happen. A cancelled future leaves the queue."""
        scored: Future[Scored] = Future()
        scored.add_done_callback(self._leave)
        with self._lock:
            self._waiting.append(_Waiting(pixels, scored))
        return scored

    def drain(self) -> None:
        """Run batches until nothing waits; returns at once where another thread already does, on each lane."""
        with self._lock:
            if self._running == self._lanes:
                return
            self._running += 1
        while batch := self._take():
            self._answer(batch)

    def _leave(self, scored: Future[Scored]) -> None:
        """Let go of the pixels of one that was cancelled: no run may come for long."""
        if scored.cancelled():
            with self._lock:
                self._waiting = deque(entry for entry in self._waiting if entry.scored is not scored)

    def _take(self) -> list[_Waiting]:
        """The requests of the next run; with none, this thread is no longer the one that runs."""
        batch: list[_Waiting] = []
        rows = 0
        with self._lock:
            while self._waiting and (not batch or self._may_share(rows + len(self._waiting[0].pixels))):
                entry = self._waiting.popleft()
                if entry.scored.set_running_or_notify_cancel():
                    batch.append(entry)
                    rows += len(entry.pixels)
            self._running -= not batch
        return batch

    def _may_share(self, rows: int) -> bool:
        return self._lanes == 1 and rows <= self._max_batch

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        started = perf_counter()
        try:
            scores = self._scores(batch)
        except Exception as error:  # noqa: BLE001 -- whatever a graph raises belongs to its callers, not to this thread
            if len(batch) == 1:
                batch[0].scored.set_exception(error)
                return
            for entry in batch:
                self._answer([entry])
            return
        ended, at = perf_counter(), 0
        for entry in batch:
            rows = scores[at : at + len(entry.pixels)]
            at += len(entry.pixels)
            entry.scored.set_result(Scored(rows, len(scores), started, ended))

    def _scores(self, batch: Sequence[_Waiting]) -> NDArray[np.float32]:
        pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([entry.pixels for entry in batch])
        parts = [self._one_run(pixels[at : at + self._max_batch]) for at in range(0, len(pixels), self._max_batch)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

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
