"""From encoded images or pixels to scores, priority and flag: the work of one request in a version's threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chexpert.domain import predictions
from chexpert.domain.digests import of_bytes, of_few_bytes
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

__all__ = ["Facts", "Job", "Query", "Reply", "Work", "digests", "outcome_of", "start", "undigested"]


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
    if query.pixels is None:
        return [Facts(of_bytes(image)) for image in query.images]
    digest = of_few_bytes if query.is_light else of_bytes
    return [Facts(digest(image.data)) for image in query.pixels]


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


def start(version: Version, query: Query, exchange: Exchange, on_done: Callable[[Work], None]) -> "Job":
    """Begin one request in the version's threads; QueueFull if it has too many.

    What went wrong is in the work, beside the facts for the log.

    Args:
        version: Whose.
        query: The request.
        exchange: Learns the stages.
        on_done: Told once how it ended, by this thread or another, unless the job is given up before. May not raise.
    """
    version.admit()
    job = Job(version, exchange, on_done, query)
    if query.is_light:
        # Waking a worker would cost more than what it has to do, and take a core from a run.
        job.make_ready()
    else:
        version.executor.submit(job.prepare)
    return job


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way; its place among the admitted is given back once nothing works on it any more."""

    version: Version
    exchange: Exchange
    on_done: Callable[[Work], None]
    query: Query | None
    """None once nobody waits for the answer: a request given up must not hold its images until its turn."""
    ready: list[NDArray[np.uint8]] = field(default_factory=list)
    """Its pixels while they wait for a run: the run takes them out, or `give_up` does."""
    queued: float = field(default_factory=perf_counter)
    facts: Sequence[Facts] = ()

    def give_up(self) -> None:
        """Nobody waits for it any more: if it waits it is not worked on, else that goes on to its end, unheard."""
        self.query = None
        self.ready.clear()

    def prepare(self) -> None:
        """In a worker: what `make_ready` does."""
        self.exchange.passed(Stage.QUEUE, self.queued)
        self.make_ready()

    def make_ready(self) -> None:
        """Make pixels and have them wait for a run."""
        query = self.query
        if query is None:
            self.version.release()
            return
        try:
            self.facts = digests(query)
            with self.exchange.stage(Stage.DECODE):
                pixels, self.facts = _pixels(query, self.version, list(self.facts))
        except Exception as error:  # noqa: BLE001 -- whatever a decoder raises is one failed request
            self._end(Work(self.facts, None, error))
            return
        self.queued = perf_counter()
        self.ready.append(pixels)
        if self.query is None:
            self.ready.clear()  # given up meanwhile
        self.version.batcher.enqueue(self)

    def claim(self) -> NDArray[np.uint8] | None:
        """As `batching.Waiting`."""
        try:
            return self.ready.pop()
        except IndexError:
            self.version.release()
            return None

    def scored(self, scored: Scored) -> None:
        """As `batching.Waiting`."""
        self.exchange.passed(Stage.QUEUE, self.queued, scored.started)
        self.exchange.passed(Stage.MODEL, scored.started, scored.ended)
        self.exchange.batch = scored.batch
        query = self.query
        if query is None:
            self.version.release()
            return
        try:
            work = Work(self.facts, _reply(query, self.version, scored.scores), None)
        except Exception as error:  # noqa: BLE001 -- whatever a model answers is one failed request of its version
            work = Work(self.facts, None, error)
        self._end(work)

    def failed(self, error: Exception) -> None:
        """As `batching.Waiting`."""
        self._end(Work(self.facts, None, error))

    def _end(self, work: Work) -> None:
        self.version.release()
        if self.query is not None:
            self.on_done(work)


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


def _reply(query: Query, version: Version, scores: NDArray[np.float32]) -> Reply:
    if scores.shape != (query.count, len(OBSERVATIONS)):
        msg = f"version {version.name} answered shape {scores.shape} for {query.count} images"
        raise ValueError(msg)
    rows: list[list[float]] = scores.tolist()
    if not all(0.0 <= score <= 1.0 for row in rows for score in row):
        raise _faulty(version, scores)
    flags = (predictions.flag(row, version.operating_points) for row in rows)
    return Reply(
        request=query.request,
        version=version.name,
        scores=scores,
        priorities=tuple(predictions.priority(row) for row in rows),
        flags=tuple(str(flag) if flag else "" for flag in flags),
    )


def _faulty(version: Version, scores: NDArray[np.float32]) -> FaultyAnswer:
    """The error of scores that are no probabilities: of the first that is no number, if there is one."""
    nan = np.isnan(scores)
    outcome, wrong = (Outcome.NOT_A_NUMBER, nan) if nan.any() else (Outcome.OUT_OF_RANGE, (scores < 0) | (scores > 1))
    row, column = (int(i) for i in np.argwhere(wrong)[0])
    return FaultyAnswer(version.name, outcome, f"{OBSERVATIONS[column]} of image {row + 1}")
