"""Operating points: recall first, by a lower bound, and honest with few positives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.evaluation.operating import Decisions, choose, clopper_pearson, decisions, lower_bound

EDEMA = Observation.EDEMA
COLUMN = OBSERVATIONS.index(EDEMA)


def only(positives: Any, negatives: Any) -> tuple[Any, Any]:
    """Labels and scores of Edema alone."""
    labels = np.full((len(positives) + len(negatives), len(OBSERVATIONS)), np.nan)
    labels[:, COLUMN] = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    scores = np.zeros_like(labels)
    scores[:, COLUMN] = np.r_[positives, negatives]
    return labels, scores.astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_exact_interval_is_scipys(found: int, missed: int) -> None:
    """Clopper and Pearson's interval, as scipy.stats computes it by search."""
    if found + missed == 0:
        assert np.isnan(clopper_pearson(0, 0).estimate)
        return
    expected = binomtest(found, found + missed).proportion_ci(0.95, method="exact")
    interval = clopper_pearson(found, found + missed)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    one_sided = binomtest(found, found + missed, alternative="greater").proportion_ci(0.95, method="exact")
    assert lower_bound(found, found + missed) == pytest.approx(one_sided.low, abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(30, 200), st.sampled_from([0.8, 0.85, 0.9]))
def test_it_is_the_highest_threshold_that_reaches_the_target(seed: int, positives: int, target: float) -> None:
    """Its bound reaches the target; that of the next higher score does not."""
    rng = np.random.default_rng(seed)
    labels, scores = only(rng.beta(4, 2, positives), rng.beta(2, 4, 100))
    point = choose(labels, scores, target=target)[EDEMA]
    assert not point.pooled
    assert point.lower_bound >= target
    own = np.sort(scores[:positives, COLUMN])
    assert point.sensitivity == np.mean(own >= point.threshold)
    higher = own[own > point.threshold]
    assert lower_bound(len(higher), positives) < target


def test_the_mere_estimate_is_not_enough() -> None:
    """With 40 positives, .9 of them found shows only .79: the threshold goes down until .9 is shown."""
    labels, scores = only(np.linspace(0.1, 0.9, 40), np.zeros(40))
    point = choose(labels, scores, target=0.9)[EDEMA]
    assert lower_bound(36, 40) < 0.8
    assert point.sensitivity > 0.97
    assert point.lower_bound >= 0.9


def test_few_positives_share_a_threshold(sample: Callable[..., Any]) -> None:
    """With 19 positives an observation takes the share of negatives that all observations need; with 40 its own."""
    drawn = sample(2000, strength=2.0)
    positives = np.flatnonzero(drawn.labels[:, COLUMN] == 1)
    drawn.labels[positives[40:], COLUMN] = np.nan
    assert not choose(drawn.labels, drawn.scores)[EDEMA].pooled
    drawn.labels[positives[19:], COLUMN] = np.nan
    points = choose(drawn.labels, drawn.scores)
    assert points[EDEMA].pooled
    assert points[EDEMA].positives == 19
    assert points[EDEMA].lower_bound >= 0.9
    assert [o for o, point in points.items() if point.pooled] == [EDEMA]
    fresh = sample(20_000, strength=2.0, seed=9)
    seen = decisions(fresh.labels, fresh.scores, {EDEMA: points[EDEMA].threshold})[EDEMA]
    assert seen.sensitivity > 0.85


def test_a_target_out_of_reach_is_said() -> None:
    """With 22 positives in all no threshold can show .9: every positive is flagged, and the bound says .87."""
    labels, scores = only(np.linspace(0.2, 0.9, 22), np.linspace(0.0, 0.8, 50))
    point = choose(labels, scores, target=0.9)[EDEMA]
    assert point.sensitivity == 1.0
    assert point.threshold <= 0.2
    assert point.lower_bound == pytest.approx(0.05 ** (1 / 22))
    assert point.lower_bound < point.target_sensitivity


def test_one_class_gives_no_point() -> None:
    """Without a positive or without a negative there is no threshold, so nothing is ever flagged."""
    assert choose(*only(np.full(30, 0.5), [])) == {}
    assert choose(*only([], np.full(30, 0.5))) == {}


def test_a_score_at_the_threshold_is_flagged() -> None:
    """Thresholds are float32 at or below the positive's score: what was found on calibration is found as served."""
    positives = np.full(40, 0.1) + np.arange(40) * 1e-3
    labels, _ = only(positives, np.zeros(40))
    scores = np.zeros_like(labels)
    scores[:40, COLUMN] = positives  # float64, as a caller may compute them
    point = choose(labels, scores, target=0.8)[EDEMA]
    served = decisions(labels, scores.astype(np.float32), {EDEMA: point.threshold})[EDEMA]
    assert served.sensitivity == point.sensitivity


def test_decisions_count_known_labels_only() -> None:
    """The four counts and their figures, on a case counted by hand."""
    labels, scores = only([0.9, 0.8, 0.2, np.nan][:3], [0.7, 0.1, 0.1, 0.1])
    labels[2, 0] = 1.0  # Another observation does not matter.
    found = decisions(labels, scores, {EDEMA: 0.7 - 1e-6})[EDEMA]
    assert found == Decisions(true_positives=2, false_positives=1, false_negatives=1, true_negatives=3)
    assert found.sensitivity == pytest.approx(2 / 3)
    assert found.specificity == pytest.approx(3 / 4)
    assert found.precision == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)
    assert np.isnan(Decisions(0, 0, 0, 5).sensitivity)
    assert np.isnan(Decisions(0, 0, 3, 5).precision)
