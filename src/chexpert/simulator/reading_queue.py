"""Discrete events of a reading queue: who waits how long, in order of arrival and by urgency.

Within a class studies are read in order of arrival: ordering by score inside a class moves waits between its studies
and leaves their mean as it is, because read times do not depend on scores.
"""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace

import numpy as np
from numpy.typing import NDArray

__all__ = ["waits_first_come", "waits_non_preemptive", "waits_preemptive"]

Minutes = NDArray[np.float64]
Classes = NDArray[np.int64]

NEVER = float("inf")


def waits_first_come(arrived: Minutes, reads: Minutes, readers: int = 1) -> Minutes:
    """Waits (n,) in order of arrival; arrivals ascend.

    One reader by Lindley's recursion W' = max(0, W + S - A), whose solution is a running minimum: no loop.
    """
    if readers == 1:
        steps = np.concatenate(([0.0], reads[:-1] - np.diff(arrived)))
        walk = np.cumsum(steps)
        waits: Minutes = walk - np.minimum.accumulate(walk)
        return waits
    return waits_non_preemptive(arrived, reads, np.zeros(len(arrived), dtype=np.int64), readers)


def waits_non_preemptive(
    arrived: Minutes,
    reads: Minutes,
    classes: Classes,
    readers: int = 1,
    *,
    cap_minutes: float | None = None,
) -> Minutes:
    """Waits (n,), a reading once begun being finished.

    Args:
        arrived: (n,) ascending.
        reads: (n,) minutes.
        classes: (n,) from 0, the most urgent.
        readers: how many read.
        cap_minutes: a study that waited as long goes before all others, oldest first; None: no cap.
    """
    waits = np.empty(len(arrived))
    studies = _by_urgency(arrived, classes, readers, reads.tolist(), cap_minutes)
    for study, wait in studies:
        waits[study] = wait
    return waits


def _by_urgency(
    arrived: Minutes,
    classes: Classes,
    readers: int,
    reads: list[float],
    cap_minutes: float | None,
) -> Iterator[tuple[int, float]]:
    """Studies in the order of reading, each with its wait.

    Each class is a list of arrivals with a place in it, so a step costs a comparison per class and no heap of studies:
    10^6 studies of two classes take about a second.
    """
    members = [np.flatnonzero(classes == k) for k in range(int(classes.max(initial=0)) + 1)]
    times = [[*arrived[m].tolist(), NEVER] for m in members]
    numbers = [m.tolist() for m in members]
    places = [0] * len(members)
    heads = [t[0] for t in times]
    ranks = range(len(members))
    free = [0.0] * readers
    for _ in range(len(reads)):
        now = free[0]
        oldest = min(heads)
        now = max(now, oldest)
        if cap_minutes is not None and now - oldest >= cap_minutes:
            chosen = heads.index(oldest)
        else:
            for chosen in ranks:
                if heads[chosen] <= now:
                    break
        place = places[chosen]
        study = numbers[chosen][place]
        yield study, now - heads[chosen]
        places[chosen] = place + 1
        heads[chosen] = times[chosen][place + 1]
        heapreplace(free, now + reads[study])


def waits_preemptive(arrived: Minutes, reads: Minutes, classes: Classes, readers: int = 1) -> Minutes:
    """Waits (n,): time in the system without the own reading. A more urgent study interrupts the least urgent reading.

    An interrupted reading is resumed, by whoever is free, where it was left.
    """
    finished = _Interruptible(readers).run(arrived.tolist(), reads.tolist(), classes.tolist())
    waits: Minutes = np.asarray(finished) - arrived - reads
    return np.maximum(waits, 0.0)  # rounding only: a study that never waited


class _Interruptible:
    """Readers, what they read, and what waits, as heaps."""

    def __init__(self, readers: int) -> None:
        self._readers = readers
        self._waiting: list[tuple[int, int, float]] = []
        """(class, study, minutes left), most urgent first, then oldest."""
        self._reading: list[tuple[float, int, int]] = []
        """(end, class, study), first to end first."""

    def run(self, arrived: Sequence[float], reads: Sequence[float], classes: Sequence[int]) -> list[float]:
        """When each study was finished."""
        finished = [0.0] * len(arrived)
        reading, waiting = self._reading, self._waiting
        for study, now in enumerate(arrived):
            while reading and reading[0][0] <= now:
                self._finish(finished)
            urgency = classes[study]
            if len(reading) < self._readers:
                heappush(reading, (now + reads[study], urgency, study))
                continue
            least = max(reading, key=_least_urgent)
            if least[1] > urgency:
                reading.remove(least)
                heapify(reading)
                heappush(reading, (now + reads[study], urgency, study))
                heappush(waiting, (least[1], least[2], least[0] - now))
            else:
                heappush(waiting, (urgency, study, reads[study]))
        while reading:
            self._finish(finished)
        return finished

    def _finish(self, finished: list[float]) -> None:
        end, _, study = heappop(self._reading)
        finished[study] = end
        if self._waiting:
            urgency, next_study, left = heappop(self._waiting)
            heappush(self._reading, (end + left, urgency, next_study))


def _least_urgent(entry: tuple[float, int, int]) -> tuple[int, int]:
    """Class, then the youngest: the one that loses least by waiting."""
    return entry[1], entry[2]
