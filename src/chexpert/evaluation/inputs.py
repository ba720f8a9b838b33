"""What every measure takes: labels and scores of the same images, one column per observation."""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chexpert.domain.errors import InputError
from chexpert.domain.observations import OBSERVATIONS

__all__ = ["Floats", "ShapeMismatch", "UnusableScores", "as_labels", "as_patients", "as_scores", "blank_as_absent"]

Floats = NDArray[np.float64]

_COLUMNS: Final = len(OBSERVATIONS)


class ShapeMismatch(InputError):
    """Arrays that should describe the same images do not have the same rows or columns."""

    def __init__(self, shape: tuple[int, ...], expected: tuple[int | str, ...], *, of: str) -> None:
        super().__init__(f"{of} of shape {shape}, expected {expected}: one row per image, one column per observation")
        self.of = of
        self.shape = shape
        self.expected = expected


class UnusableScores(InputError):
    """Scores that cannot be ranked."""

    def __init__(self, name: str, bad: int, first_row: int, column: int) -> None:
        super().__init__(
            f"{bad} of the {name} are not finite, first in row {first_row} for {OBSERVATIONS[column]}: "
            "a model that answers so has no AUROC; look at its input and weights",
        )
        self.name = name
        self.bad = bad
        self.first_row = first_row
        self.column = column


def as_labels(labels: ArrayLike) -> Floats:
    """(n, 14) of 1.0, 0.0 and NaN: whatever is neither present nor absent (blank, uncertain) is masked as NaN."""
    values = np.asarray(labels, dtype=np.float64)
    if not len(values) or values.shape[1:] != (_COLUMNS,):
        raise ShapeMismatch(values.shape, ("1 or more", _COLUMNS), of="labels")
    return np.where((values == 0.0) | (values == 1.0), values, np.nan)


def blank_as_absent(labels: ArrayLike) -> Floats:
    """(n, 14) where NaN (not mentioned) became 0; uncertain (-1) stays and is masked by every measure.

    For labels read from reports, where an absence is seldom written down: with blanks masked, 72 % of CheXpert's
    remaining Edema labels are positive, against 16 % of its studies, and calibration on them is far too high.
    """
    return np.nan_to_num(np.asarray(labels, dtype=np.float64), nan=0.0)


def as_scores(scores: ArrayLike, like: Floats, name: str = "scores") -> Floats:
    """(n, 14) finite numbers for the images of `like`; any monotone scale (logits or probabilities)."""
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != like.shape:
        raise ShapeMismatch(values.shape, like.shape, of=name)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise UnusableScores(name, len(bad), int(bad[0, 0]), int(bad[0, 1]))
    return values


def as_patients(patients: Any, like: Floats) -> tuple[NDArray[np.int64], int]:
    """Patient keys (n,) of any sortable kind as codes 0..p-1, and p."""
    keys = np.asarray(patients)
    if keys.shape != like.shape[:1]:
        raise ShapeMismatch(keys.shape, like.shape[:1], of="patients")
    unique, codes = np.unique(keys, return_inverse=True)
    return codes.astype(np.int64), len(unique)
