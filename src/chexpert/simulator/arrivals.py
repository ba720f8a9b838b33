"""When studies arrive: Poisson on a daily curve, single or in batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from chexpert.domain.errors import InputError

__all__ = ["DAY_OF_A_HOSPITAL", "FLAT", "Arrival", "ArrivalSettings", "BadArrivalSettings", "arrivals"]

HOURS = 24
SMALLEST_BATCH = 2

FLAT: tuple[float, ...] = (1.0,) * HOURS
"""The same rate all day: for queue experiments, whose closed forms know no curve."""

DAY_OF_A_HOSPITAL: tuple[float, ...] = (
    *(0.35, 0.3, 0.25, 0.25, 0.3, 0.5, 0.9, 1.3),  # night; portable rounds begin before seven
    *(1.8, 2.1, 2.2, 2.1, 1.7, 1.7, 1.8, 1.7),  # clinics
    *(1.4, 1.1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
)
"""Relative rate per hour of the day: a working-day curve of our own shape, not measured at any site."""


class BadArrivalSettings(InputError):
    """A rate, share or size that no traffic can have."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"arrival settings: {problem}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ArrivalSettings:
    """A traffic's shape over time."""

    per_hour: float = 60.0
    """Mean studies per simulated hour over a day, batches included."""
    daily: tuple[float, ...] = DAY_OF_A_HOSPITAL
    """Relative rate of each hour, 24 weights; only their ratios count. FLAT switches the curve off."""
    batch_share: float = 0.1
    """Share of arrival moments that bring a batch (a ward's evening upload); 0 switches batches off."""
    batch_mean: float = 8.0
    """Mean studies in a batch, at least 2."""

    def __post_init__(self) -> None:
        problem = ""
        if not self.per_hour > 0.0:
            problem = f"per_hour is {self.per_hour}: give a rate above 0"
        elif len(self.daily) != HOURS or min(self.daily) < 0.0 or not sum(self.daily) > 0.0:
            problem = f"daily is {self.daily}: give {HOURS} weights of at least 0, not all 0"
        elif not 0.0 <= self.batch_share <= 1.0:
            problem = f"batch_share is {self.batch_share}: give a share between 0 and 1"
        elif not self.batch_mean >= SMALLEST_BATCH:
            problem = f"batch_mean is {self.batch_mean}: give at least {SMALLEST_BATCH}"
        if problem:
            raise BadArrivalSettings(problem)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One moment at which `studies` studies arrive together."""

    time: datetime
    studies: int


def arrivals(settings: ArrivalSettings, start: datetime, rng: np.random.Generator) -> Iterator[Arrival]:
    """Endless arrivals from `start` on, in order of time; the same generator state gives the same arrivals.

    A Poisson process on the daily curve by thinning (Lewis & Shedler 1979): moments are drawn at the peak's rate and
    kept with probability rate/peak.
    """
    weights = np.asarray(settings.daily) / np.mean(settings.daily)
    studies_per_moment = 1.0 + settings.batch_share * (settings.batch_mean - 1.0)
    peak_per_hour = settings.per_hour / studies_per_moment * weights.max()
    time = start
    while True:
        time += timedelta(hours=rng.exponential(1.0 / peak_per_hour))
        if rng.random() >= weights[time.hour] / weights.max():
            continue
        is_batch = rng.random() < settings.batch_share
        yield Arrival(time, SMALLEST_BATCH + int(rng.poisson(settings.batch_mean - SMALLEST_BATCH)) if is_batch else 1)
