"""AUROC against scikit-learn, and where it is not defined."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from chexpert.domain.observations import COMPETITION, OBSERVATIONS, Observation
from chexpert.evaluation.auroc import aurocs, roc_curve
from chexpert.evaluation.inputs import ShapeMismatch, UnusableScores, as_patients, blank_as_absent
from chexpert.evaluation.ranking import Ranking

COUNT = len(OBSERVATIONS)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1, -1, None]), st.integers(-3, 3)), min_size=1, max_size=40))
def test_one_column_agrees_with_scikit_learn(rows: list[tuple[int | None, int]]) -> None:
    """Whatever the ties and masks, the value is scikit-learn's on the known labels; NaN where a class is missing."""
    labels = np.array([np.nan if label is None else label for label, _ in rows])
    scores = np.array([score for _, score in rows], dtype=float)
    found = aurocs(np.tile(labels[:, None], COUNT), np.tile(scores[:, None], COUNT)).values[3]
    known = (labels == 0) | (labels == 1)
    if len(set(labels[known])) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(labels[known], scores[known]), abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(0, 5)), min_size=2, max_size=30))
def test_weights_count_as_copies(rows: list[tuple[int, int, int]]) -> None:
    """AUROC under weights is AUROC of the images repeated so often."""
    labels, scores, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    ranking = Ranking.of(labels, scores, np.arange(len(rows)), len(rows))
    found = ranking.auroc(weights[:, None].astype(np.float32))[0]
    repeated = np.repeat(np.arange(len(rows)), weights.astype(int))
    if len(set(labels[repeated])) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(labels[repeated], scores[repeated]), abs=1e-12)


def test_a_missing_class_is_counted_not_guessed(sample: Callable[..., Any]) -> None:
    """An observation without positives has NaN and its counts, and stays out of the mean."""
    drawn = sample(300)
    drawn.labels[:, OBSERVATIONS.index(Observation.FRACTURE)] = 0
    found = aurocs(drawn.labels, drawn.scores)
    column = OBSERVATIONS.index(Observation.FRACTURE)
    assert math.isnan(found.values[column])
    assert (found.positives[column], found.negatives[column]) == (0, 300)
    others = [c for c in range(COUNT) if c != column and found.positives[c] >= 5]
    assert found.mean == pytest.approx(found.values[others].mean())


def test_four_positives_stay_out_of_the_mean(sample: Callable[..., Any]) -> None:
    """With five positives an observation enters the mean, with four it does not."""
    drawn = sample(400)
    column = OBSERVATIONS.index(Observation.SUPPORT_DEVICES)
    scores = drawn.scores.copy()
    scores[:, column] = drawn.labels[:, column]  # Perfect, so that it shows in the mean.
    fifth = np.flatnonzero(drawn.labels[:, column] == 1)[4:]
    drawn.labels[fifth[1:], column] = np.nan
    with_five = aurocs(drawn.labels, scores)
    drawn.labels[fifth[0], column] = np.nan
    with_four = aurocs(drawn.labels, scores)
    assert with_five.values[column] == with_four.values[column] == 1.0
    assert with_five.mean > with_four.mean


def test_the_competition_mean_needs_all_five(sample: Callable[..., Any]) -> None:
    """It is the mean of the five tasks, and NaN if one of them lacks a class."""
    drawn = sample(300)
    found = aurocs(drawn.labels, drawn.scores)
    assert found.competition == pytest.approx(np.mean([found.values[OBSERVATIONS.index(o)] for o in COMPETITION]))
    drawn.labels[:, OBSERVATIONS.index(Observation.EDEMA)] = 0
    assert math.isnan(aurocs(drawn.labels, drawn.scores).competition)


def test_uncertain_labels_are_masked(sample: Callable[..., Any]) -> None:
    """-1 and NaN mean the same to a measure."""
    drawn = sample(300, blank=0.3)
    uncertain = np.where(np.isnan(drawn.labels), -1.0, drawn.labels)
    assert np.array_equal(aurocs(drawn.labels, drawn.scores).values, aurocs(uncertain, drawn.scores).values)


def test_blanks_of_reports_can_be_read_as_absent() -> None:
    """Blank becomes 0, uncertain stays uncertain."""
    labels = np.full((1, COUNT), 1.0)
    labels[0, :2] = (np.nan, -1.0)
    assert blank_as_absent(labels)[0, :3].tolist() == [0.0, -1.0, 1.0]


def test_the_curve_is_scikit_learns(sample: Callable[..., Any]) -> None:
    """The plotted curve passes through the same points."""
    drawn = sample(200, blank=0.2)
    labels, scores = drawn.labels[:, 3].astype(float), np.round(drawn.scores[:, 3].astype(float), 1)
    false, true = roc_curve(labels, scores)
    known = ~np.isnan(labels)
    expected = sklearn_roc_curve(labels[known], scores[known], drop_intermediate=False)
    assert np.allclose(false, expected[0])
    assert np.allclose(true, expected[1])
    assert roc_curve(np.zeros(4), np.arange(4.0))[0].size == 0


def test_bad_arrays_are_refused_by_name(sample: Callable[..., Any]) -> None:
    """Missing rows, other widths, no rows, and scores that are NaN name what is wrong and where."""
    drawn = sample(10)
    with pytest.raises(ShapeMismatch, match=r"scores of shape \(9, 14\), expected \(10, 14\)"):
        aurocs(drawn.labels, drawn.scores[:9])
    with pytest.raises(ShapeMismatch, match=r"labels of shape \(10, 5\)"):
        aurocs(drawn.labels[:, :5], drawn.scores)
    with pytest.raises(ShapeMismatch, match="1 or more"):
        aurocs(drawn.labels[:0], drawn.scores[:0])
    with pytest.raises(ShapeMismatch, match="patients"):
        as_patients(drawn.patients[:3], drawn.labels)
    scores = drawn.scores.copy()
    scores[4, 5] = np.nan
    with pytest.raises(UnusableScores, match="first in row 4 for Edema"):
        aurocs(drawn.labels, scores)
