"""Area under the ROC curve per observation, with ties, masked labels and missing classes."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chexpert.domain.observations import COMPETITION, OBSERVATIONS
from chexpert.evaluation.inputs import Floats, as_labels, as_scores
from chexpert.evaluation.ranking import Ranking

__all__ = [
    "COMPETITION_COLUMNS",
    "ENOUGH",
    "Aurocs",
    "aurocs",
    "competition_mean",
    "counted",
    "mean_auroc",
    "roc_curve",
]

ENOUGH: Final = 5
"""Fewest positives, and fewest negatives, of an observation in a mean: below it one image moves AUROC by tenths."""

COMPETITION_COLUMNS: Final = tuple(OBSERVATIONS.index(o) for o in COMPETITION)


@dataclass(frozen=True, slots=True)
class Aurocs:
    """AUROC and counts per observation, in the order of OBSERVATIONS."""

    values: Floats
    """(14,); NaN where a class is missing."""
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Mean over the observations with at least 5 positives and 5 negatives; NaN if there are none."""
        return float(mean_auroc(self.values[None], counted(self.positives, self.negatives))[0])

    @property
    def competition(self) -> float:
        """Mean of the five competition tasks; NaN if one of them lacks a class."""
        return float(competition_mean(self.values[None])[0])


def aurocs(labels: ArrayLike, scores: ArrayLike) -> Aurocs:
    """AUROC of each observation; labels and scores (n, 14), labels neither 0 nor 1 are masked.

    Raises:
        ShapeMismatch: not (n, 14) both.
        UnusableScores: a score is not finite.
    """
    known = as_labels(labels)
    ranked = as_scores(scores, known)
    everyone, once = np.zeros(len(known), np.int64), np.ones((1, 1), np.float32)
    columns = range(known.shape[1])
    values = [Ranking.of(known[:, c], ranked[:, c], everyone, 1).auroc(once)[0] for c in columns]
    return Aurocs(np.array(values), (known == 1.0).sum(axis=0), (known == 0.0).sum(axis=0))


def counted(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(14,): which observations enter the mean."""
    return (positives >= ENOUGH) & (negatives >= ENOUGH)


def mean_auroc(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Mean over the chosen columns of values (rounds, 14), leaving out NaN; NaN (rounds,) where nothing is left."""
    kept = chosen & ~np.isnan(values)
    total = np.where(kept, values, 0.0).sum(axis=1)
    number = kept.sum(axis=1)
    means: Floats = np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)
    return means


def competition_mean(values: Floats) -> Floats:
    """Mean of the five tasks for each row of values (rounds, 14); NaN where one is NaN."""
    return np.asarray(values[:, list(COMPETITION_COLUMNS)].mean(axis=1))


def roc_curve(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """False and true positive rate of one column at every distinct score, from (0, 0) to (1, 1).

    Empty arrays where a class is missing.
    """
    known = ~np.isnan(labels)
    order = np.argsort(-scores[known], kind="stable")
    positive, ranked = labels[known][order] == 1.0, scores[known][order]
    if positive.all() or not positive.any():
        return np.zeros(0), np.zeros(0)
    last = np.r_[np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1]
    true, false = np.cumsum(positive)[last], np.cumsum(~positive)[last]
    return np.r_[0.0, false / false[-1]], np.r_[0.0, true / true[-1]]
