"""Exact mean waits of a reading queue with Poisson arrivals and exponential read times.

Sources: Cobham 1954 (non-preemptive priorities), Pollaczek-Khinchine, Erlang C; the preemptive forms are those of QuCAD
(FDA). A wait is the time in the system without the own reading: pauses of an interrupted reading count as waiting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

from chexpert.domain.errors import InputError

__all__ = ["Overloaded", "StudyClass", "UnequalReads", "erlang_c", "first_come", "non_preemptive", "preemptive"]


class Overloaded(InputError):
    """More work arrives than the readers can do: no mean wait exists."""

    def __init__(self, load: float) -> None:
        super().__init__(f"load {load:.3f} is not below 1: fewer studies, faster reads or more readers")
        self.load = load


class UnequalReads(InputError):
    """No closed form is known for several readers and classes of unequal read times: simulate it."""

    def __init__(self, readers: int) -> None:
        super().__init__(f"{readers} readers and unequal read times have no closed form here: simulate them")
        self.readers = readers


@dataclass(frozen=True, slots=True)
class StudyClass:
    """Studies of one urgency."""

    per_minute: float
    read_minutes: float
    """Mean of an exponential distribution."""

    @property
    def work(self) -> float:
        """Reading minutes that arrive per minute."""
        return self.per_minute * self.read_minutes


def erlang_c(readers: int, offered: float) -> float:
    """Probability that a study finds all readers busy; `offered` is the arriving work in readers."""
    waiting = offered**readers / factorial(readers) * readers / (readers - offered)
    return waiting / (sum(offered**k / factorial(k) for k in range(readers)) + waiting)


def first_come(classes: Sequence[StudyClass], readers: int = 1) -> float:
    """Mean wait in minutes of all studies in order of arrival."""
    work = sum(c.work for c in classes)
    _require_load(work / readers)
    return _residual(classes, readers) / (1.0 - work / readers)


def non_preemptive(classes: Sequence[StudyClass], readers: int = 1) -> list[float]:
    """Mean wait in minutes per class, most urgent first; a reading once begun is finished."""
    _require_load(sum(c.work for c in classes) / readers)
    residual = _residual(classes, readers)
    waits, above = [], 0.0
    for c in classes:
        upto = above + c.work / readers
        waits.append(residual / ((1.0 - above) * (1.0 - upto)))
        above = upto
    return waits


def preemptive(classes: Sequence[StudyClass], readers: int = 1) -> list[float]:
    """Mean wait in minutes per class, most urgent first; an urgent study interrupts, later the reading is resumed.

    One reader: any read times. Several: the least urgent are served as if the others were one class of the same read
    time, which the conservation of work gives exactly.
    """
    _require_load(sum(c.work for c in classes) / readers)
    return _preemptive_one(classes) if readers == 1 else _preemptive_many(classes, readers)


def _preemptive_one(classes: Sequence[StudyClass]) -> list[float]:
    waits, above, residual = [], 0.0, 0.0
    for c in classes:
        upto = above + c.work
        residual += c.per_minute * c.read_minutes**2
        waits.append(residual / ((1.0 - above) * (1.0 - upto)) + c.read_minutes * above / (1.0 - above))
        above = upto
    return waits


def _preemptive_many(classes: Sequence[StudyClass], readers: int) -> list[float]:
    waits: list[float] = []
    for k in range(1, len(classes) + 1):
        upper = classes[:k]
        rate = sum(c.per_minute for c in upper)
        total = first_come(upper, readers) * rate  # classes 1..k together never see the lower ones
        done = sum(c.per_minute * wait for c, wait in zip(upper, waits, strict=False))
        waits.append((total - done) / classes[k - 1].per_minute)
    return waits


def _residual(classes: Sequence[StudyClass], readers: int) -> float:
    """Mean wait for the first reader to become free, as a study finds it on arrival."""
    if readers == 1:
        return sum(c.per_minute * c.read_minutes**2 for c in classes)
    reads = {c.read_minutes for c in classes}
    if len(reads) > 1:
        raise UnequalReads(readers)
    return erlang_c(readers, sum(c.work for c in classes)) * reads.pop() / readers


def _require_load(load: float) -> None:
    if not load < 1.0:
        raise Overloaded(load)
