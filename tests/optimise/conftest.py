"""Pixels, and a calibration that is not the identity."""

import numpy as np
import pytest

from chexpert.domain.observations import OBSERVATIONS
from chexpert.evaluation.calibration import Platt


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 1, 64, 64), dtype=np.uint8)


@pytest.fixture(scope="session")
def calibration() -> Platt:
    count = len(OBSERVATIONS)
    return Platt(np.linspace(0.5, 2.0, count, dtype=np.float32), np.linspace(-2.0, 1.0, count, dtype=np.float32))
