"""From logits to probabilities (Platt 1999: one slope and bias per observation), and how far probabilities are off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from chexpert.evaluation.inputs import Floats, as_labels, as_scores

__all__ = ["FEW", "Platt", "Reliability", "brier", "expected_error", "fit", "reliability"]

FEW: Final = 20
"""Below this many positives or negatives an observation borrows the slope and fits its bias alone."""

_SLOPE_RIDGE: Final = 1.0
"""Pull of the slope towards 1, in images: nothing beside hundreds, and it keeps separable labels finite."""
_BIAS_RIDGE: Final = 0.01
"""Pull of the bias towards 0; weak, because rare observations need -3 or less."""
_LEAST_SLOPE: Final = 0.05
"""A network that ranks the wrong way round must not be turned right side up by its calibration."""
_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class Platt:
    """score = sigmoid(slope * logit + bias)."""

    slope: NDArray[np.float32]
    """(14,), positive: the order of images never changes."""
    bias: NDArray[np.float32]
    """(14,)."""

    def apply(self, logits: ArrayLike) -> NDArray[np.float32]:
        """Calibrated probabilities (n, 14) of logits (n, 14)."""
        return np.asarray(expit(np.asarray(logits, dtype=np.float32) * self.slope + self.bias), dtype=np.float32)

    def to_dict(self) -> dict[str, list[float]]:
        """JSON-like."""
        return {"slope": self.slope.tolist(), "bias": self.bias.tolist()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Sequence[float]]) -> Self:
        """Inverse of `to_dict`."""
        return cls(np.array(fields["slope"], np.float32), np.array(fields["bias"], np.float32))


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of equal size, by score."""

    predicted: Floats
    """Mean score (bins,)."""
    observed: Floats
    """Share of positives (bins,)."""
    images: NDArray[np.int64]

    @property
    def expected_error(self) -> float:
        """ECE: mean distance of the two, weighted by images; NaN of nothing."""
        total = int(self.images.sum())
        if not total:
            return float("nan")
        return float((np.abs(self.predicted - self.observed) * self.images).sum() / total)


def fit(labels: ArrayLike, logits: ArrayLike) -> Platt:
    """Slope and bias by maximum likelihood with a weak ridge, on the calibration split; arrays (n, 14).

    Labels other than 0 and 1 are masked; pass `inputs.blank_as_absent(labels)` for labels read from reports. With
    fewer than 20 positives or negatives the slope is the median of the others (1 if there are none); without either
    class the logits stay as they are.
    """
    known = as_labels(labels)
    raw = as_scores(logits, known, "logits")
    positives, negatives = (known == 1.0).sum(axis=0), (known == 0.0).sum(axis=0)
    slope, bias = np.ones(known.shape[1]), np.zeros(known.shape[1])
    own = np.minimum(positives, negatives) >= FEW
    for column in np.flatnonzero(own):
        slope[column], bias[column] = _newton(known[:, column], raw[:, column], None)
    borrowed = float(np.median(slope[own])) if own.any() else 1.0
    for column in np.flatnonzero(~own & (positives > 0) & (negatives > 0)):
        slope[column], bias[column] = _newton(known[:, column], raw[:, column], borrowed)
    return Platt(slope.astype(np.float32), bias.astype(np.float32))


def brier(labels: Floats, scores: Floats) -> float:
    """Mean squared error of one column, masked labels left out; NaN of nothing."""
    known = ~np.isnan(labels)
    return float(np.mean((scores[known] - labels[known]) ** 2)) if known.any() else float("nan")


def expected_error(labels: Floats, scores: Floats, bins: int = 10) -> float:
    """ECE of one column over bins of equal size: bins of equal width put a rare observation into one."""
    return reliability(labels, scores, bins).expected_error


def reliability(labels: Floats, scores: Floats, bins: int = 10) -> Reliability:
    """Bins of one column, masked labels left out; fewer bins than asked for where there are fewer images."""
    known = ~np.isnan(labels)
    order = np.argsort(scores[known], kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    truth, score = labels[known], scores[known]
    return Reliability(
        predicted=np.array([score[part].mean() for part in parts]),
        observed=np.array([truth[part].mean() for part in parts]),
        images=np.array([len(part) for part in parts], dtype=np.int64),
    )


def _newton(labels: Floats, logits: Floats, fixed_slope: float | None) -> tuple[float, float]:
    """Slope and bias of one column; the bias alone where the slope is fixed. Halves a step that makes it worse."""
    known = ~np.isnan(labels)
    truth, logit = labels[known], logits[known]
    slope, bias = fixed_slope or 1.0, 0.0
    loss = _loss(truth, logit, slope, bias)
    for _ in range(_STEPS):
        score = expit(slope * logit + bias)
        curve = score * (1.0 - score)
        gradient = np.array(
            [(score - truth) @ logit + _SLOPE_RIDGE * (slope - 1.0), (score - truth).sum() + _BIAS_RIDGE * bias],
        )
        hessian = np.array(
            [[curve @ logit**2 + _SLOPE_RIDGE, curve @ logit], [curve @ logit, curve.sum() + _BIAS_RIDGE]]
        )
        if fixed_slope is None:
            step = np.linalg.solve(hessian, gradient)
        else:
            step = np.array([0.0, gradient[1] / hessian[1, 1]])
        while (better := _loss(truth, logit, slope - step[0], bias - step[1])) > loss and np.abs(step).max() > 1e-9:  # noqa: PLR2004 - float precision
            step = step / 2.0
        slope, bias = float(slope - step[0]), float(bias - step[1])
        if loss - better < 1e-10 * max(1.0, loss):
            break
        loss = better
    if fixed_slope is None and slope < _LEAST_SLOPE:
        return _newton(labels, logits, _LEAST_SLOPE)
    return slope, bias


def _loss(truth: Floats, logit: Floats, slope: float, bias: float) -> float:
    moved = slope * logit + bias
    likelihood = float((np.logaddexp(0.0, moved) - truth * moved).sum())
    return likelihood + 0.5 * (_SLOPE_RIDGE * (slope - 1.0) ** 2 + _BIAS_RIDGE * bias**2)
