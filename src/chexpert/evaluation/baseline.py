"""The shortcut baseline: what five image statistics alone predict.

On the NIH images that a test may carry, a logistic regression on mean, std, p5, p95 and aspect reaches AUROC .80: every
model is compared with this, not with .5.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import STATISTICS
from chexpert.evaluation.inputs import Floats, ShapeMismatch, as_labels

__all__ = ["Baseline", "fit"]

_RIDGE: Final = 1.0
"""Pull of the standardised weights towards 0, in images; the intercept is free but for rounding."""
_STEPS: Final = 25


@dataclass(frozen=True, slots=True)
class Baseline:
    """14 logistic regressions on standardised statistics."""

    centre: Floats
    """(5,)."""
    scale: Floats
    """(5,)."""
    weights: Floats
    """(6, 14): the intercept, then one row per statistic."""

    def scores(self, statistics: ArrayLike) -> NDArray[np.float32]:
        """Probabilities (n, 14) for statistics (n, 5) in the order of domain.records.STATISTICS."""
        design = _design((_checked(statistics) - self.centre) / self.scale)
        return np.asarray(expit(design @ self.weights), dtype=np.float32)


def fit(statistics: ArrayLike, labels: ArrayLike) -> Baseline:
    """Fit on training rows: statistics (n, 5), labels (n, 14), those neither 0 nor 1 masked.

    An observation with one class only gets that class's share, the same score for every image (AUROC .5).

    Raises:
        ShapeMismatch: not (n, 5) and (n, 14), or a statistic is not finite.
    """
    known = as_labels(labels)
    features = _checked(statistics)
    if len(features) != len(known):
        raise ShapeMismatch(features.shape, (len(known), len(STATISTICS)), of="statistics")
    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0.0, spread, 1.0)
    design = _design((features - centre) / scale)
    weights = np.stack([_column(design, known[:, c]) for c in range(len(OBSERVATIONS))], axis=1)
    return Baseline(centre, scale, weights)


def _column(design: Floats, labels: Floats) -> Floats:
    """Weights (6,) of one observation, by iteratively reweighted least squares from the prevalence on."""
    known = ~np.isnan(labels)
    rows, truth = design[known], labels[known]
    weights = np.zeros(design.shape[1])
    positives = truth.sum()
    weights[0] = np.log((positives + 0.5) / (len(truth) - positives + 0.5))
    if not 0 < positives < len(truth):
        return weights
    ridge = np.diag([1e-6, *[_RIDGE] * (design.shape[1] - 1)])
    for _ in range(_STEPS):
        score = expit(rows @ weights)
        gradient = rows.T @ (score - truth) + ridge @ weights
        hessian = (rows * (score * (1.0 - score))[:, None]).T @ rows + ridge
        step = np.linalg.solve(hessian, gradient)
        # With 6 weights and a ridge Newton converges; a cap on the step keeps the first ones from overshooting.
        weights -= step * min(1.0, 4.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-8:  # noqa: PLR2004 - float precision
            break
    return weights


def _design(standardised: Floats) -> Floats:
    return np.column_stack([np.ones(len(standardised)), standardised])


def _checked(statistics: ArrayLike) -> Floats:
    values = np.asarray(statistics, dtype=np.float64)
    if values.shape[1:] != (len(STATISTICS),) or not np.isfinite(values).all():
        raise ShapeMismatch(values.shape, ("images", len(STATISTICS)), of="statistics (all finite)")
    return values
