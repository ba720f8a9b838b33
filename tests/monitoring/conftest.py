"""A population of images with the scores of a tiny model, and windows drawn from it."""

import numpy as np
import pytest

from chexpert.domain.records import Outcome
from chexpert.monitoring.window import Window
from chexpert.testing.logs import Population


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def population(rng: np.random.Generator) -> Population:
    return draw(rng, 2_000)


def draw(rng: np.random.Generator, rows: int) -> Population:
    scores = rng.beta(1.0, 3.0, (rows, 14))
    looks = rng.normal([0.5, 0.2, 0.1, 0.9, 0.85], [0.05, 0.02, 0.02, 0.02, 0.01], (rows, 5))
    return Population(scores, looks)


@pytest.fixture
def window_of(population: Population, rng: np.random.Generator):  # noqa: ANN201 - a factory, used with its keywords
    def make(
        version: str,
        rows: int,
        *,
        faults: int = 0,
        latency_ms: float = 20.0,
        score_shift: float = 0.0,
        statistic_shift: float = 0.0,
        fault: Outcome = Outcome.ERROR,
    ) -> Window:
        picked = rng.integers(0, len(population.scores), rows - faults)
        return Window(
            version=version,
            outcomes={Outcome.OK: rows - faults, fault: faults},
            latencies_ms=latency_ms * rng.lognormal(0.0, 0.3, rows),
            scores=np.clip(population.scores[picked] + score_shift, 0.0, 1.0),
            statistics=population.statistics[picked] + statistic_shift,
            flags=("",) * len(picked),
            images=tuple(f"{i:064x}" for i in picked),
        )

    return make
