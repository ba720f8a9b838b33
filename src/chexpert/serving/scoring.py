"""From encoded images or pixels to scores, priority and flag: the work of one request in a version's threads."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chexpert.domain import predictions
from chexpert.domain.digests import of_bytes
from chexpert.domain.errors import InputError
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import Outcome
from chexpert.domain.studies import View
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import preprocess
from chexpert.imaging.statistics import statistics
from chexpert.serving.batching import Scored
from chexpert.serving.errors import FaultyAnswer, refuse
from chexpert.serving.exchange import Exchange, Stage
from chexpert.serving.versions import Version

__all__ = ["Facts", "Query", "Reply", "Work", "digests", "outcome_of", "start", "undigested"]


_LIGHT_BYTES: Final = 2**18
"""Of pixels, of which a digest is taken and nothing else: 0.15 ms."""


@dataclass(frozen=True, slots=True)
class Query:
    """One request, whatever protocol brought it: either images or pixels."""

    request: str
    """Echoed and logged."""
    images: tuple[bytes, ...]
    """Encoded PNG, JPEG or DICOM, one each; empty: `pixels`."""
    pixels: NDArray[np.uint8] | None
    """(n, 1, H, W), already preprocessed."""
    shadow: bool
    version: str
    """Asked directly; empty: the split chooses."""

    @property
    def count(self) -> int:
        """How many images are asked about."""
        return len(self.images) if self.pixels is None else len(self.pixels)

    @property
    def is_light(self) -> bool:
        """Whether making it ready for the graph costs less than handing it to another thread."""
        return self.pixels is not None and self.pixels.nbytes <= _LIGHT_BYTES


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of one version."""

    request: str
    version: str
    scores: NDArray[np.float32]
    """(n, 14), calibrated."""
    priorities: tuple[float, ...]
    flags: tuple[str, ...]
    """Names of observations; empty: none."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log keeps of one image."""

    sha256: str
    """Empty: it was refused unread."""
    view: View = View.UNKNOWN
    statistics: tuple[float, ...] | None = None
    """As in domain.records.STATISTICS; None for pixels, whose grey levels are no longer the sender's."""


@dataclass(frozen=True, slots=True)
class Work:
    """How the work ended: a reply, or the error that its caller is to see."""

    facts: Sequence[Facts]
    reply: Reply | None
    error: Exception | None


def digests(query: Query) -> list[Facts]:
    """Facts that need no decoding."""
    parts = query.images if query.pixels is None else [image.data for image in query.pixels]
    return [Facts(of_bytes(part)) for part in parts]


def undigested(query: Query) -> list[Facts]:
    """Facts of what was refused: a full server must not hash all that it turns away."""
    return [Facts("")] * query.count


def outcome_of(error: Exception | None) -> Outcome:
    """What the log says of it."""
    if error is None:
        return Outcome.OK
    if isinstance(error, FaultyAnswer):
        return error.outcome
    return Outcome.REJECTED if isinstance(error, InputError) else Outcome.ERROR


def start(version: Version, query: Query, exchange: Exchange) -> Future[Work]:
    """Begin one request in the version's threads; QueueFull if it has too many.

    The future never holds an error: what went wrong is in the result, beside the facts for the log. Cancelling it takes
    a request back that waits; one that is worked on is worked on to the end, unheard.
    """
    version.admit()
    job = _Job(version, exchange, query)
    job.done.add_done_callback(job.forget)
    if query.is_light:
        # Waking a worker would cost more than what it has to do, and take a core from a run.
        if job.enqueued() and version.batcher.has_idle_lane:
            version.executor.submit(version.batcher.drain)
    else:
        version.executor.submit(job.prepare)
    return job.done


@dataclass(slots=True)
class _Job:
    """One request on its way; its place among the admitted is given back once nothing works on it any more."""

    version: Version
    exchange: Exchange
    query: Query | None
    """None once nobody waits for the answer: a request given up must not hold its images until its turn."""
    done: Future[Work] = field(default_factory=Future)
    queued: float = field(default_factory=perf_counter)
    facts: Sequence[Facts] = ()

    def prepare(self) -> None:
        """In a worker: make pixels, have them wait for a run, and do the runs if nobody else does."""
        self.exchange.passed(Stage.QUEUE, self.queued)
        if self.enqueued():
            self.version.batcher.drain()

    def enqueued(self) -> bool:
        """Make pixels and have them wait for a run; False where none is to come: it was given up, or is no image."""
        query = self.query
        if query is None:
            self.version.release()
            return False
        try:
            self.facts = digests(query)
            with self.exchange.stage(Stage.DECODE):
                pixels, self.facts = _pixels(query, self.version, list(self.facts))
        except Exception as error:  # noqa: BLE001 -- whatever a decoder raises is one failed request
            self._end(Work(self.facts, None, error))
            return False
        self.queued = perf_counter()
        scored = self.version.batcher.enqueue(pixels)
        self.done.add_done_callback(lambda done: done.cancelled() and scored.cancel())
        scored.add_done_callback(partial(self._scored, query.request, query.count))
        return True

    def forget(self, _: Future[Work]) -> None:
        """Let go of the request's bytes."""
        self.query = None

    def _scored(self, request: str, count: int, scored: Future[Scored]) -> None:
        if scored.cancelled():
            self.version.release()
            return
        try:
            run = scored.result()
            self.exchange.passed(Stage.QUEUE, self.queued, run.started)
            self.exchange.passed(Stage.MODEL, run.started, run.ended)
            self.exchange.batch = run.batch
            work = Work(self.facts, _reply(request, count, self.version, run.scores), None)
        except Exception as error:  # noqa: BLE001 -- whatever a model raises is one failed request of its version
            work = Work(self.facts, None, error)
        self._end(work)

    def _end(self, work: Work) -> None:
        self.version.release()
        if self.done.set_running_or_notify_cancel():
            self.done.set_result(work)


def _pixels(query: Query, version: Version, facts: list[Facts]) -> tuple[NDArray[np.uint8], list[Facts]]:
    size = version.spec.size
    if query.pixels is not None:
        if query.pixels.shape[2:] != (size, size):
            found = "x".join(str(side) for side in query.pixels.shape[2:])
            refuse(f"pixels are {found}, version {version.name} takes {size}x{size}")
        return query.pixels, facts
    pixels = np.empty((len(query.images), 1, size, size), dtype=np.uint8)
    seen: list[Facts] = []
    for position, (data, known) in enumerate(zip(query.images, facts, strict=True)):
        image = decode(data, target=size)
        pixels[position, 0] = preprocess(image, version.spec)
        seen.append(Facts(known.sha256, image.view, tuple(statistics(image))))
    return pixels, seen


def _reply(request: str, count: int, version: Version, scores: NDArray[np.float32]) -> Reply:
    if scores.shape != (count, len(OBSERVATIONS)):
        msg = f"version {version.name} answered shape {scores.shape} for {count} images"
        raise ValueError(msg)
    for outcome, wrong in (
        (Outcome.NOT_A_NUMBER, np.isnan(scores)),
        (Outcome.OUT_OF_RANGE, (scores < 0.0) | (scores > 1.0)),
    ):
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            raise FaultyAnswer(version.name, outcome, f"{OBSERVATIONS[column]} of image {row + 1}")
    rows = scores.tolist()
    flags = (predictions.flag(row, version.operating_points) for row in rows)
    return Reply(
        request=request,
        version=version.name,
        scores=scores,
        priorities=tuple(predictions.priority(row) for row in rows),
        flags=tuple(str(flag) if flag else "" for flag in flags),
    )
