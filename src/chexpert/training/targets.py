"""What each label asks of the network: a target in [0, 1], or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chexpert.domain.labels import ABSENT, PRESENT, UNCERTAIN, UncertaintyPolicy
from chexpert.domain.observations import OBSERVATIONS, PARENTS, Observation
from chexpert.training.settings import TrainingSettings

__all__ = ["Targets", "read_targets"]

Floats = NDArray[np.float32]

_NO_FINDING: Final = OBSERVATIONS.index(Observation.NO_FINDING)
_COLUMNS: Final = {o: i for i, o in enumerate(OBSERVATIONS)}


@dataclass(frozen=True, slots=True)
class Targets:
    """What is asked of n images."""

    values: Floats
    """(n, 14) in [0, 1]; 0 where masked."""
    weights: Floats
    """(n, 14): 1 where the label counts, 0 where it is masked."""
    truth: Floats
    """(n, 14) of 1, 0, and NaN where the label is uncertain or masked: what AUROC is measured on."""


def read_targets(
    labels: Floats, sha256s: Sequence[str] | NDArray[Any], sources: Any, settings: TrainingSettings
) -> Targets:
    """Read labels by the settings' policies.

    Args:
        labels: (n, 14) of 1, 0, -1 and NaN for blank.
        sha256s: One per image; with the seed it decides what is drawn for an uncertain label, in any order of rows.
        sources: (n,) name of where each label comes from.
        settings: Policies and how blanks are read.
    """
    known = _with_parents(labels) if settings.impute_parents else labels.copy()
    blank = np.isnan(known)
    silent = np.isin(np.asarray(sources, dtype=str), sorted(settings.masked_blanks))
    # A yes/no truth answers 'No Finding' alone: that something is there does not say what is absent.
    only_abnormal = (known[:, _NO_FINDING] == ABSENT) & (blank.sum(axis=1) == len(OBSERVATIONS) - 1)
    masked = blank & (silent | only_abnormal)[:, None]
    truth = np.where(blank, np.where(masked, np.nan, np.float32(ABSENT)), known).astype(np.float32)
    uncertain = known == UNCERTAIN
    truth[uncertain] = np.nan
    values = np.nan_to_num(truth, nan=0.0)
    drawn = _draw(sha256s, settings.seed)
    for observation, column in _COLUMNS.items():
        interval = settings.policies.get(observation, UncertaintyPolicy.IGNORE).interval
        rows = uncertain[:, column]
        if interval is None:
            masked[rows, column] = True
        else:
            low, high = interval
            values[rows, column] = low + (high - low) * drawn[rows, column]
    return Targets(values, (~masked).astype(np.float32), truth)


def _with_parents(labels: Floats) -> Floats:
    imputed = labels.copy()
    for child, parent in PARENTS.items():
        imputed[labels[:, _COLUMNS[child]] == PRESENT, _COLUMNS[parent]] = PRESENT
    return imputed


def _draw(sha256s: Sequence[str] | NDArray[Any], seed: int) -> Floats:
    """(n, 14) uniform in [0, 1) from image, seed and column: splitmix64 (Steele et al. 2014) over the checksum."""
    images = np.array([int(sha256[:16] or "0", 16) for sha256 in sha256s], dtype=np.uint64)
    columns = np.arange(len(OBSERVATIONS), dtype=np.uint64) + np.uint64(len(OBSERVATIONS) * seed + 1)
    mixed = images[:, None] + columns[None] * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    drawn: Floats = ((mixed >> np.uint64(11)) / np.float64(2**53)).astype(np.float32)
    return drawn
