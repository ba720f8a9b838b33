"""Drift of a canary, told apart from drift of the input.

Three comparisons, each by Kolmogorov-Smirnov at `alpha` divided by its columns (Bonferroni), in Evidently:
canary against the stable of the same window, and each of the two against its own reference. A column counts as drifted
when the test says so and the shift is large enough to matter: between two healthy models any test finds a difference,
given enough answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import STATISTICS
from chexpert.monitoring.drift_report import KsReport, ks_report
from chexpert.monitoring.reference import Reference
from chexpert.monitoring.window import Window

__all__ = [
    "CANARY_REFERENCE",
    "CANARY_STABLE",
    "STABLE_REFERENCE",
    "DriftReport",
    "DriftRow",
    "DriftSettings",
    "compare",
    "wasserstein",
]

CANARY_STABLE: Final = "canary against stable"
CANARY_REFERENCE: Final = "canary against its reference"
STABLE_REFERENCE: Final = "stable against its reference"

_SCORES: Final = tuple(str(o) for o in OBSERVATIONS)

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """When a column counts as drifted."""

    alpha: float = 0.05
    """False alarms of one comparison over all its columns, at most; 0 switches drift off.

    Evidently's own default (normed Wasserstein against 0.1) calls identical windows of 100 drifted in every run.
    """
    min_score_shift: float = 0.1
    """Mean distance that scores moved, in probability (Wasserstein 1); smaller shifts are noted, not acted on."""
    min_statistic_shift: float = 0.5
    """The same of an image statistic, in standard deviations of what it is compared with."""
    min_rows: int = 20
    """Values a column needs on each side to be compared at all."""
    max_rows: int = 2_000
    """Newest rows of each side that are compared, so that the alarm ends when the shift does."""


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One column of one comparison."""

    comparison: str
    column: str
    p: float
    threshold: float
    shift: float
    """Wasserstein distance: in probability for scores, in standard deviations for image statistics."""
    drifted: bool


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What drifted, and whose it is."""

    rows: tuple[DriftRow, ...]
    blamed: tuple[str, ...]
    """Score columns in which only the canary moved; empty while the input has shifted."""
    input_shifted: tuple[str, ...]
    """Columns in which both moved away from their references, or the images themselves differ."""
    pages: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """HTML by comparison: canary against stable, and the others when the input has shifted."""


def compare(
    candidate: Window,
    stable: Window,
    candidate_reference: Reference | None,
    stable_reference: Reference | None,
    settings: DriftSettings,
) -> DriftReport:
    """Compare a canary with the stable of the same window, and both with what is expected of them.

    Args:
        candidate: The canary's window.
        stable: The stable's.
        candidate_reference: What the canary's bundle answered in validation; None: not compared.
        stable_reference: Likewise of the stable.
        settings: When a column counts as drifted; alpha 0: nothing is compared.
    """
    if settings.alpha <= 0.0:
        return DriftReport((), (), ())
    ours, theirs = (_of_window(window.newest(settings.max_rows)) for window in (candidate, stable))
    pairs: list[tuple[str, Columns, Columns]] = [(CANARY_STABLE, ours, theirs)]
    if candidate_reference is not None:
        pairs.append((CANARY_REFERENCE, ours, _of_reference(candidate_reference)))
    if stable_reference is not None:
        pairs.append((STABLE_REFERENCE, theirs, _of_reference(stable_reference)))
    rows: list[DriftRow] = []
    reports: dict[str, KsReport] = {}
    for name, current, reference in pairs:
        columns = [c for c in current if min(current[c].size, reference[c].size) >= settings.min_rows]
        if not columns:
            continue
        report = ks_report(
            {c: current[c] for c in columns}, {c: reference[c] for c in columns}, settings.alpha / len(columns)
        )
        reports[name] = report
        rows += [_row(name, c, report, (current[c], reference[c]), settings) for c in columns]
    blamed, shifted = _attribute(rows)
    shown = [name for name in reports if shifted or name == CANARY_STABLE]
    return DriftReport(tuple(rows), blamed, shifted, {name: reports[name].page() for name in shown})


def wasserstein(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Wasserstein-1 distance of two samples: the area between their distribution functions."""
    points = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(sample), points[:-1], side="right") / sample.size for sample in (one, other)]
    return float(np.sum(np.abs(below[0] - below[1]) * np.diff(points)))


def _attribute(rows: list[DriftRow]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    drifted = {
        name: [row.column for row in rows if row.drifted and row.comparison == name]
        for name in (CANARY_STABLE, CANARY_REFERENCE, STABLE_REFERENCE)
    }
    images_differ = [column for column in drifted[CANARY_STABLE] if column in STATISTICS]
    both = drifted[CANARY_REFERENCE] and drifted[STABLE_REFERENCE]
    shifted = dict.fromkeys([*images_differ, *(drifted[STABLE_REFERENCE] if both else ())])
    blamed = () if shifted else tuple(column for column in drifted[CANARY_STABLE] if column not in STATISTICS)
    return blamed, tuple(shifted)


def _row(
    comparison: str,
    column: str,
    report: KsReport,
    samples: tuple[NDArray[np.float64], NDArray[np.float64]],
    settings: DriftSettings,
) -> DriftRow:
    current, reference = samples
    shift = wasserstein(current, reference)
    smallest = settings.min_score_shift
    if column in STATISTICS:
        spread = float(reference.std())
        # A statistic that never varied (one device, one aspect) is a shift as soon as it does.
        shift = shift / spread if spread > 0.0 else float(shift > 0.0) * settings.min_statistic_shift
        smallest = settings.min_statistic_shift
    p = report.p_values[column]
    return DriftRow(comparison, column, p, report.threshold, shift, p < report.threshold and shift >= smallest)


def _of_window(window: Window) -> Columns:
    return _columns(window.scores, window.statistics)


def _of_reference(reference: Reference) -> Columns:
    return _columns(reference.scores, reference.statistics)


def _columns(scores: NDArray[np.float64], statistics: NDArray[np.float64]) -> Columns:
    named = [*zip(_SCORES, scores.T, strict=True), *zip(STATISTICS, statistics.T, strict=True)]
    return {name: values[np.isfinite(values)] for name, values in named}
