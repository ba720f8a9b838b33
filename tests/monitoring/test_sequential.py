"""Tests of rates: held against SciPy, and against their own promise."""

import math

import numpy as np
import pytest
from scipy import stats

from chexpert.monitoring.sequential import binomial_tail, evidence_above, fisher_greater


@pytest.mark.parametrize(
    "table", [(0, 40, 0, 360), (2, 40, 0, 360), (5, 40, 9, 360), (40, 40, 3, 5), (7, 2000, 3, 18000)]
)
def test_fisher_agrees_with_scipy(table: tuple[int, int, int, int]) -> None:
    """The one-sided exact p is SciPy's, for tables of a demo and of production."""
    events, trials, others, of = table
    expected = stats.fisher_exact([[events, trials - events], [others, of - others]], alternative="greater").pvalue
    assert fisher_greater(*table) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("events", "trials", "rate"), [(0, 40, 0.05), (7, 40, 0.05), (150, 2000, 0.05), (3, 3, 0.0), (1, 5, 1.0)]
)
def test_binomial_tail_agrees_with_scipy(events: int, trials: int, rate: float) -> None:
    """P(X >= events) is SciPy's survival function."""
    assert binomial_tail(events, trials, rate) == pytest.approx(stats.binom.sf(events - 1, trials, rate), abs=1e-12)


def test_evidence_is_the_mixture_of_likelihoods() -> None:
    """The closed form is the integral it stands for."""
    events, trials, rate = 4, 30, 0.05
    grid = np.linspace(rate, 1.0, 200_001)
    likelihood = grid**events * (1 - grid) ** (trials - events)
    expected = np.trapezoid(likelihood, grid) / (1 - rate) / (rate**events * (1 - rate) ** (trials - events))
    assert evidence_above(events, trials, rate) == pytest.approx(expected, rel=1e-6)


def test_looking_after_every_answer_keeps_the_promise() -> None:
    """Of 2,000 canaries at the allowed rate, watched through 500 answers, at most alpha are returned."""
    rng, alpha, rate = np.random.default_rng(3), 0.05, 0.02
    counts = np.cumsum(rng.random((2_000, 500)) < rate, axis=1)
    limit = np.array([_least_events(trials, rate, 1 / alpha) for trials in range(1, 501)])
    returned = float(np.mean((counts >= limit).any(axis=1)))
    assert returned <= alpha
    assert returned > 0.0  # the test can refuse at all


def _least_events(trials: int, rate: float, sure: float) -> float:
    return next((k for k in range(trials + 1) if evidence_above(k, trials, rate) >= sure), math.inf)


def test_a_broken_canary_is_sure_after_few_answers() -> None:
    """Three faults in three answers are enough at 2 % allowed and 1 in 1,000; one in forty is not."""
    assert evidence_above(3, 3, 0.02) >= 1_000
    assert evidence_above(1, 40, 0.02) < 1_000
    assert evidence_above(1, 1, 0.0) == math.inf
    assert evidence_above(0, 10, 0.0) < 1
    assert evidence_above(20_000, 20_000, 0.001) == math.inf
