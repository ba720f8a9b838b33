"""From the numbers of the rounds to the table: ratios within a round, their median and spread, and the target."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

Rounds = Sequence[Mapping[str, Mapping[str, float]]]
"""Per round, per way: p50_c1, p99_c4, rps_c4 and so on."""


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table as it is asked for."""

    what: str
    way: str
    metric: str
    against: str = ""
    """The way of the same round that it is divided by; empty: the number itself."""
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line as it was measured."""

    what: str
    median: float
    low: float
    high: float
    target: str
    """Empty: there is none, the line informs."""
    met: bool | None
    """None: not judged."""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, numbers to three digits."""
        fields = asdict(self)
        return fields | {key: float(f"{fields[key]:.3g}") for key in ("median", "low", "high")}


def row(target: Target, rounds: Rounds, *, judged: bool = True, note: str = "") -> Row:
    """Ratios are taken within each round, so that a slow minute hits both sides."""
    values = [
        one[target.way][target.metric] / (one[target.against][target.metric] if target.against else 1.0)
        for one in rounds
    ]
    return of_values(target, values, judged=judged, note=note)


def of_values(target: Target, values: Sequence[float], *, judged: bool = True, note: str = "") -> Row:
    """As `row`, for values that were got another way. The median is held against the target."""
    median = statistics.median(values)
    wanted, met = "", None
    if target.at_most is not None:
        wanted, met = f"<= {target.at_most:g}", median <= target.at_most
    elif target.at_least is not None:
        wanted, met = f">= {target.at_least:g}", median >= target.at_least
    return Row(target.what, median, min(values), max(values), wanted, met if judged else None, note)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of them do not exceed (nearest rank); NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(percent / 100.0 * len(ordered)) - 1)] if ordered else float("nan")


def numbers(latencies_ms: Sequence[float], elapsed_s: float, concurrency: int) -> dict[str, float]:
    """What one measurement says, by names that end in the concurrency."""
    return {
        f"p50_c{concurrency}": percentile(latencies_ms, 50),
        f"p99_c{concurrency}": percentile(latencies_ms, 99),
        f"rps_c{concurrency}": len(latencies_ms) / elapsed_s,
    }


def medians(rounds: Rounds) -> dict[str, dict[str, float]]:
    """Median over the rounds of every number of every way, for the second table."""
    return {
        way: {metric: round(statistics.median(one[way][metric] for one in rounds), 2) for metric in rounds[0][way]}
        for way in rounds[0]
    }
