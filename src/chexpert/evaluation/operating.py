"""Operating points, recall first: the highest threshold whose sensitivity is shown, not merely seen, to reach a target.

A threshold chosen on 200 studies for a sensitivity of .95 realised .71 to .87 in the worst twentieth of cases. So the
lower confidence bound is held against the target, and with few positives the threshold is shared between observations.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from chexpert.bundle.card import OperatingPoint
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.evaluation.bootstrap import Interval
from chexpert.evaluation.inputs import Floats, as_labels, as_scores

__all__ = ["FEW", "Decisions", "choose", "clopper_pearson", "decisions", "lower_bound"]

FEW: Final = 20
"""Below this many positives an observation gets no threshold of its own."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a threshold did to the labelled images of one observation."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def sensitivity(self) -> float:
        """Recall; NaN without positives."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """NaN without negatives."""
        return _share(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precision(self) -> float:
        """NaN if nothing is flagged."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and sensitivity; NaN if there is nothing to find and nothing was found."""
        return _share(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def sensitivity_interval(self) -> Interval:
        """Exact two-sided 95 % interval (Clopper and Pearson 1934)."""
        return clopper_pearson(self.true_positives, self.true_positives + self.false_negatives)

    def to_dict(self) -> dict[str, Any]:
        """The four counts."""
        return asdict(self)


def lower_bound(found: int, positives: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson lower bound of found / positives."""
    return float(betaincinv(found, positives - found + 1, 1.0 - confidence)) if found else 0.0


def clopper_pearson(found: int, of: int) -> Interval:
    """Share with its exact two-sided 95 % interval; NaN of nothing."""
    if not of:
        return Interval(float("nan"), float("nan"), float("nan"))
    low = lower_bound(found, of, 0.975)
    return Interval(found / of, low, 1.0 - lower_bound(of - found, of, 0.975))


def choose(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    target: float = 0.9,
    confidence: float = 0.95,
) -> dict[Observation, OperatingPoint]:
    """Operating points from the calibration split; labels and calibrated scores (n, 14).

    An observation with at least 20 positives whose bound can reach the target gets the highest such threshold of its
    own. The others share one share of negatives to flag, the smallest that finds enough of all observations' positives
    together. If even that cannot reach the target, every positive is found and `lower_bound` says what was reached.
    One without a positive or without a negative gets no point, and so is never flagged.

    Args:
        labels: 1, 0; anything else is masked.
        scores: Probabilities as served.
        target: Sensitivity that the lower bound must reach.
        confidence: One-sided, of that bound.
    """
    known = as_labels(labels)
    served = as_scores(scores, known)
    columns = {o: (served[known[:, c] == 1.0, c], served[known[:, c] == 0.0, c]) for c, o in enumerate(OBSERVATIONS)}
    usable = {o: pair for o, pair in columns.items() if all(map(len, pair))}
    if not usable:
        return {}
    shares = np.sort(np.concatenate([_flagged_share(*pair) for pair in usable.values()]))
    enough = _needed(len(shares), target, confidence) or len(shares)
    share = float(shares[enough - 1])
    found = int((shares <= share).sum())

    def point(positives: Floats, negatives: Floats) -> OperatingPoint:
        own = _needed(len(positives), target, confidence)
        if len(positives) < FEW or own is None:
            threshold, hits, of, pooled = _threshold_flagging(negatives, share), found, len(shares), True
        else:
            threshold = _float32_below(float(np.sort(positives)[len(positives) - own]))
            hits, of, pooled = int((positives >= threshold).sum()), len(positives), False
        return OperatingPoint(
            threshold=threshold,
            target_sensitivity=target,
            sensitivity=hits / of,
            lower_bound=lower_bound(hits, of, confidence),
            positives=len(positives),
            pooled=pooled,
        )

    return {o: point(*pair) for o, pair in usable.items()}


def decisions(
    labels: ArrayLike, scores: ArrayLike, thresholds: Mapping[Observation, float]
) -> dict[Observation, Decisions]:
    """What frozen thresholds do to labelled images, for the observations that have one; labels and scores (n, 14)."""
    known = as_labels(labels)
    served = as_scores(scores, known)
    counted: dict[Observation, Decisions] = {}
    for observation, threshold in thresholds.items():
        column = OBSERVATIONS.index(observation)
        flagged, truth = served[:, column] >= threshold, known[:, column]
        counted[observation] = Decisions(
            true_positives=int((flagged & (truth == 1.0)).sum()),
            false_positives=int((flagged & (truth == 0.0)).sum()),
            false_negatives=int((~flagged & (truth == 1.0)).sum()),
            true_negatives=int((~flagged & (truth == 0.0)).sum()),
        )
    return counted


def _needed(positives: int, target: float, confidence: float) -> int | None:
    """Fewest found of so many positives whose bound reaches the target; None if not even all of them do."""
    found = np.arange(1, positives + 1)
    reached = np.flatnonzero(betaincinv(found, positives - found + 1, 1.0 - confidence) >= target)
    return int(found[reached[0]]) if len(reached) else None


def _flagged_share(positives: Floats, negatives: Floats) -> Floats:
    """For each positive, the share of negatives that a threshold at its score would flag as well."""
    ranked = np.sort(negatives)
    return (len(ranked) - np.searchsorted(ranked, positives, side="left")) / len(ranked)


def _threshold_flagging(negatives: Floats, share: float) -> float:
    """Lowest threshold that flags at most this share of the negatives."""
    allowed = int(share * len(negatives) + 1e-9)
    if allowed >= len(negatives):
        return 0.0
    below = np.sort(negatives)[len(negatives) - 1 - allowed]
    return float(np.nextafter(np.float32(below), np.float32(np.inf)))


def _float32_below(value: float) -> float:
    """Greatest float32 at or below: served scores are float32 and must not round to under their own threshold."""
    near = np.float32(value)
    # As Python floats: numpy would round `value` to float32 before it compares.
    return float(near) if float(near) <= value else float(np.nextafter(near, np.float32(-np.inf)))


def _share(part: int, of: int) -> float:
    return part / of if of else float("nan")
