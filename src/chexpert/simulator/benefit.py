"""The business figure: minutes saved per truly positive study, by flags of a stated sensitivity and specificity.

FDA's definition (QuCAD): mean wait with the flags minus mean wait without, over truly positive studies, with the same
arrivals and read times on both sides. It is a waiting time and never a claim of an outcome.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chexpert.domain.errors import InputError
from chexpert.simulator.closed_forms import Overloaded
from chexpert.simulator.reading_queue import waits_first_come, waits_non_preemptive, waits_preemptive

__all__ = ["Benefit", "Group", "QueueSettings", "compare", "compare_seeds", "minutes_saved"]

Minutes = NDArray[np.float64]
Mask = NDArray[np.bool_]

BATCHES = 40
"""Waits of neighbours are alike, so a mean's error comes from the spread of the means of this many stretches."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A reading room."""

    load: float = 0.8
    """Share of the readers' time that reading takes, below 1."""
    prevalence: float = 0.1
    """Share of truly positive studies."""
    readers: int = 1
    read_minutes: float = 10.0
    """Mean of an exponential read time, the same for positive and negative studies."""
    is_preemptive: bool = False
    """Whether a flagged study interrupts a reading. Readers rarely do; QuCAD's default does."""
    cap_minutes: float | None = None
    """Wait after which a study goes first; None: no cap. Not for preemptive reading."""
    interrupting_share: float = 0.0
    """Share of studies that interrupt every reading, flag or not (trauma); 0 switches it off."""
    interrupting_minutes: float = 5.0
    """Their mean read time."""
    studies: int = 100_000

    def __post_init__(self) -> None:
        if not 0.0 < self.load < 1.0:
            raise Overloaded(self.load)
        problem = ""
        if self.is_preemptive and self.cap_minutes is not None:
            problem = "a cap on the wait is defined for readings that are finished: drop one of the two"
        elif self.interrupting_share > 0.0 and not self.is_preemptive:
            problem = "interrupting studies need is_preemptive"
        elif self.studies < BATCHES:
            problem = f"{self.studies} studies are too few for an error of the mean: at least {BATCHES}"
        if problem:
            raise InputError(problem)

    @property
    def per_minute(self) -> float:
        """Arrivals per minute that give the load."""
        share = self.interrupting_share
        mean = (1.0 - share) * self.read_minutes + share * self.interrupting_minutes
        return self.load * self.readers / mean


@dataclass(frozen=True, slots=True)
class Group:
    """Waits of some studies, in minutes."""

    studies: int
    mean: float
    error: float
    """Standard error of the mean, by batch means."""
    p95: float
    longest: float
    within_30: float
    """Share that waited at most 30 minutes."""


@dataclass(frozen=True, slots=True)
class Benefit:
    """Both sides of one simulation."""

    first_come: Group
    flagged: Group
    unflagged: Group
    diseased: Group
    healthy: Group
    missed: Group
    """Truly positive and not flagged: who pays for trusting the order."""
    delta_diseased: float
    """With flags minus without, paired; negative is saved."""
    delta_diseased_error: float
    delta_healthy: float
    delta_healthy_error: float
    delta_all: float
    """Near 0 whatever the flags: somebody's gain is somebody's wait."""

    @property
    def minutes_saved_per_positive(self) -> float:
        """What a truly positive study gains."""
        return -self.delta_diseased

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return {**asdict(self), "minutes_saved_per_positive": self.minutes_saved_per_positive}


def compare(settings: QueueSettings, sensitivity: float, specificity: float, rng: np.random.Generator) -> Benefit:
    """Simulate both orders on the same arrivals, read times and truths.

    Interrupting studies are read first on both sides and counted in no group.
    """
    n = settings.studies
    arrived = np.cumsum(rng.exponential(1.0 / settings.per_minute, n))
    interrupts = rng.random(n) < settings.interrupting_share
    reads = rng.exponential(1.0, n) * np.where(interrupts, settings.interrupting_minutes, settings.read_minutes)
    diseased = rng.random(n) < settings.prevalence
    flagged = rng.random(n) < np.where(diseased, sensitivity, 1.0 - specificity)
    without = _waits(settings, arrived, reads, np.where(interrupts, 0, 1))
    by_flag = _waits(settings, arrived, reads, np.where(interrupts, 0, np.where(flagged, 1, 2)))
    ours = ~interrupts
    delta = by_flag - without
    saved, waited = _group(delta, ours & diseased), _group(delta, ours & ~diseased)
    return Benefit(
        first_come=_group(without, ours),
        flagged=_group(by_flag, ours & flagged),
        unflagged=_group(by_flag, ours & ~flagged),
        diseased=_group(by_flag, ours & diseased),
        healthy=_group(by_flag, ours & ~diseased),
        missed=_group(by_flag, ours & diseased & ~flagged),
        delta_diseased=saved.mean,
        delta_diseased_error=saved.error,
        delta_healthy=waited.mean,
        delta_healthy_error=waited.error,
        delta_all=float(delta[ours].mean()),
    )


def compare_seeds(
    settings: QueueSettings,
    sensitivity: float,
    specificity: float,
    seeds: Sequence[int],
) -> list[Benefit]:
    """One simulation per seed; the same seeds give two models the same studies."""
    return [compare(settings, sensitivity, specificity, np.random.default_rng(seed)) for seed in seeds]


def minutes_saved(benefits: Sequence[Benefit]) -> tuple[float, float]:
    """Mean of the minutes saved per positive study, and its standard error over the seeds (NaN for one seed)."""
    saved = np.asarray([b.minutes_saved_per_positive for b in benefits])
    error = saved.std(ddof=1) / np.sqrt(len(saved)) if len(saved) > 1 else float("nan")
    return float(saved.mean()), float(error)


def _waits(settings: QueueSettings, arrived: Minutes, reads: Minutes, urgency: NDArray[np.int64]) -> Minutes:
    if settings.is_preemptive:
        return waits_preemptive(arrived, reads, urgency, settings.readers)
    if urgency.min() == urgency.max():
        return waits_first_come(arrived, reads, settings.readers)
    return waits_non_preemptive(arrived, reads, urgency - 1, settings.readers, cap_minutes=settings.cap_minutes)


def _group(waits: Minutes, members: Mask) -> Group:
    chosen = waits[members]
    if not len(chosen):
        nan = float("nan")
        return Group(0, nan, nan, nan, nan, nan)
    means = [part.mean() for part in _stretches(waits, members) if len(part)]
    error = float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    return Group(
        studies=len(chosen),
        mean=float(chosen.mean()),
        error=error,
        p95=float(np.quantile(chosen, 0.95)),
        longest=float(chosen.max()),
        within_30=float((chosen <= 30.0).mean()),  # noqa: PLR2004 - the field's own name says it
    )


def _stretches(waits: Minutes, members: Mask) -> list[Minutes]:
    edges = np.linspace(0, len(waits), BATCHES + 1).astype(int)
    return [waits[a:b][members[a:b]] for a, b in pairwise(edges)]
