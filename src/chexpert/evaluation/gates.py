"""May this model be registered: floors, the shortcut baseline, the incumbent, slices, calibration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chexpert.domain.digests import of_value
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation.bootstrap import Interval
from chexpert.evaluation.comparison import difference, slice_differences
from chexpert.evaluation.evaluation import Evaluation
from chexpert.evaluation.profiles import Profile

__all__ = ["GATE", "judge"]

GATE: Final = "evaluation"


@dataclass(frozen=True, slots=True)
class _Check:
    """One row of the evidence, and the reason to refuse, empty if it passed."""

    check: str
    value: float
    low: float
    high: float
    floor: str
    reason: str

    def row(self) -> dict[str, Any]:
        """JSON-like."""
        figures = {name: _rounded(getattr(self, name)) for name in ("value", "low", "high")}
        return {"check": self.check, **figures, "floor": self.floor, "passed": not self.reason}


def judge(candidate: Evaluation, incumbent: Evaluation | None, baseline: Evaluation, profile: Profile) -> Verdict:
    """Hold a candidate against a profile; all three evaluated on the same rows.

    Args:
        candidate: Whose promotion is asked for.
        incumbent: The served model on the same images; None for a first one: then nothing is compared with it.
        baseline: Scores of `evaluation.baseline` on the same images.
        profile: The floors.

    Raises:
        NotComparable: The evaluations are not of the same images, or were read from JSON.
    """
    checks = [*_floors(candidate, profile), *_against_baseline(candidate, baseline, profile)]
    if incumbent is not None:
        checks += [*_against_incumbent(candidate, incumbent, profile), *_in_slices(candidate, incumbent, profile)]
    checks += _calibration(candidate, profile)
    compared = f"no worse than {incumbent.name}" if incumbent else "first, nothing to compare with"
    judged = [each.to_json() for each in (candidate, incumbent, baseline) if each]
    return Verdict.judge(
        GATE,
        candidate.name,
        [check.reason for check in checks if check.reason],
        otherwise=f"mean AUROC {candidate.mean} on {candidate.images} images passes profile {profile.name}; {compared}",
        evidence=[check.row() for check in checks],
        thresholds=profile.thresholds(),
        inputs_digest=of_value(judged),
    )


def _floors(candidate: Evaluation, profile: Profile) -> Iterator[_Check]:
    if not candidate.counted:
        reason = f"no observation has 5 positives and 5 negatives among {candidate.images} images: measure on more"
        yield _interval_check("observations in the mean", candidate.mean, "at least 1", reason)
        return
    means = (
        ("mean AUROC", candidate.mean, profile.least_mean),
        ("mean AUROC of the five tasks", candidate.competition, profile.least_competition),
    )
    for name, interval, floor in means:
        if floor is None:
            continue
        # NaN compares as False: what could not be measured has not reached its floor.
        reached = interval.low > floor
        reason = f"{name} {interval}: its lower bound is not above {floor:g}"
        yield _interval_check(name, interval, f"low > {floor:g}", "" if reached else reason)


def _against_baseline(candidate: Evaluation, baseline: Evaluation, profile: Profile) -> Iterator[_Check]:
    margin = profile.beat_baseline_by
    if margin is None:
        return
    better = difference(candidate, baseline)
    reason = (
        f"not better than {baseline.name} at {baseline.mean}: difference {better}, whose low must be above {margin:g}"
    )
    yield _interval_check(f"minus {baseline.name}", better, f"low > {margin:g}", "" if better.low > margin else reason)


def _against_incumbent(candidate: Evaluation, incumbent: Evaluation, profile: Profile) -> Iterator[_Check]:
    margin = profile.incumbent_margin
    if margin is None:
        return
    change = difference(candidate, incumbent)
    reason = f"may be worse than {incumbent.name} by more than {margin:g}: difference {change}"
    yield _interval_check(
        f"minus {incumbent.name}", change, f"low >= -{margin:g}", "" if change.low >= -margin else reason
    )


def _in_slices(candidate: Evaluation, incumbent: Evaluation, profile: Profile) -> Iterator[_Check]:
    margin = profile.slice_margin
    if margin is None:
        return
    for each in slice_differences(candidate, incumbent, least_images=profile.slice_images):
        worse = each.auroc.estimate < -margin and each.auroc.high < 0.0
        where = f"{each.slicing} {each.group}"
        reason = f"worse than {incumbent.name} on {where} ({each.images} images): difference {each.auroc}"
        yield _interval_check(
            f"minus {incumbent.name}, {where}", each.auroc, f"not < -{margin:g}", reason if worse else ""
        )


def _calibration(candidate: Evaluation, profile: Profile) -> Sequence[_Check]:
    ceiling = profile.most_expected_error
    if ceiling is None:
        return []
    seen = candidate.expected_error
    reason = (
        "" if seen <= ceiling else f"scores are off by {seen:.3f} on average (ECE), above {ceiling:g}: calibrate again"
    )
    return [_Check("expected calibration error", seen, np.nan, np.nan, f"<= {ceiling:g}", reason)]


def _interval_check(name: str, interval: Interval, floor: str, reason: str) -> _Check:
    return _Check(name, interval.estimate, interval.low, interval.high, floor, reason)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
