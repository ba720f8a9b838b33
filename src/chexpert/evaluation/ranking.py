"""One column of labels and scores, sorted once, so that AUROC under any whole-number patient weights is cheap.

A bootstrap round only changes how often each patient counts, never the order of the scores. In sorted order the images
fall into steps: a run of negatives with the run of positives after it, or one tie that holds both. AUROC then needs the
weight of positives and of negatives per step, which is one sparse product for many rounds at once. A resorting loop
costs O(n log n) per round; this costs one addition per image and round (bench/results/bootstrap.json).
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from chexpert.evaluation.inputs import Floats

__all__ = ["Ranking"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The sorted column: who is positive and negative in each step."""

    positives: Any
    """Sparse (steps, patients): positive images of a patient in a step."""
    negatives: Any
    """Sparse (steps, patients)."""
    tied: NDArray[np.bool_]
    """(steps,): the step is one tie, whose pairs count half."""

    @classmethod
    def of(cls, labels: Floats, scores: Floats, patients: NDArray[np.int64], count: int) -> Self:
        """Sort a column: labels (n,) of 1, 0, NaN; finite scores (n,); patient codes (n,) below `count`."""
        known = np.flatnonzero(~np.isnan(labels))
        known = known[np.argsort(scores[known], kind="stable")]
        positive, patient = labels[known] == 1.0, patients[known]
        step_of, tied = _steps(positive, scores[known])
        steps = len(tied)

        def table(chosen: NDArray[np.bool_]) -> Any:
            starts = np.searchsorted(step_of[chosen], np.arange(steps + 1)).astype(np.int32)
            ones = np.ones(int(chosen.sum()), np.float32)
            return sparse.csr_array((ones, patient[chosen].astype(np.int32), starts), shape=(steps, count))

        return cls(table(positive), table(~positive), tied)

    def auroc(self, weights: NDArray[np.float32]) -> Floats:
        """AUROC for each column of weights (patients, rounds); NaN (rounds,) where a class has no weight.

        float32 counts exactly up to 2^24 images; products of counts are summed in float64.
        """
        if not len(self.tied):
            return np.full(weights.shape[1], np.nan)
        positives, negatives = self.positives @ weights, self.negatives @ weights
        below = np.cumsum(negatives, axis=0)
        totals = positives.sum(axis=0, dtype=np.float64) * below[-1]
        below[self.tied] -= 0.5 * negatives[self.tied]
        won = np.einsum("sr,sr->r", positives, below, dtype=np.float64)
        aurocs: Floats = np.divide(won, totals, out=np.full(len(totals), np.nan), where=totals > 0)
        return aurocs


def _steps(positive: NDArray[np.bool_], scores: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Step of each image in sorted order, and which steps are ties of both classes."""
    if not len(scores):
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    tie_of = np.cumsum(np.r_[False, scores[1:] != scores[:-1]])
    has_positive = np.bincount(tie_of, positive) > 0
    has_negative = np.bincount(tie_of, ~positive) > 0
    both = has_positive & has_negative
    only_negative = has_negative & ~both
    # A new step begins at a tie of both classes, after one, and where negatives follow a positive.
    begins = both | np.r_[False, both[:-1]] | (only_negative & ~np.r_[False, only_negative[:-1]])
    begins[0] = True
    step_of_tie = np.cumsum(begins) - 1
    tied = np.bincount(step_of_tie, both) > 0
    return step_of_tie[tie_of], tied
