"""Drawn labels and scores of known strength."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from chexpert.domain.observations import OBSERVATIONS

PREVALENCE = np.array([0.10, 0.05, 0.12, 0.47, 0.04, 0.23, 0.07, 0.03, 0.15, 0.09, 0.39, 0.02, 0.04, 0.52])


@dataclass(frozen=True)
class Sample:
    """Images in rows, observations in columns."""

    labels: NDArray[np.float32]
    logits: NDArray[np.float32]
    patients: NDArray[np.str_]

    @property
    def scores(self) -> NDArray[np.float32]:
        """Probabilities."""
        return 1.0 / (1.0 + np.exp(-self.logits))


def draw(images: int, *, strength: float = 1.5, seed: int = 0, blank: float = 0.0) -> Sample:
    """Logits of the true posterior under unit-variance noise, so that they are calibrated as they are."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((images, len(OBSERVATIONS))) < PREVALENCE).astype(np.float32)
    seen = strength * labels + rng.normal(size=labels.shape)
    prior = np.log(PREVALENCE / (1 - PREVALENCE))
    logits = (strength * seen - strength**2 / 2 + prior).astype(np.float32)
    patients = np.array([f"patient{number}" for number in rng.integers(0, max(1, images // 3), images)])
    labels[rng.random(labels.shape) < blank] = np.nan
    return Sample(labels, logits, patients)


@pytest.fixture
def sample() -> Callable[..., Sample]:
    return draw
