"""Platt's slope and bias, and the measures of calibration."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from chexpert.domain.observations import OBSERVATIONS
from chexpert.evaluation import calibration
from chexpert.evaluation.auroc import aurocs

COUNT = len(OBSERVATIONS)


def test_it_undoes_a_known_distortion(sample: Callable[..., Any]) -> None:
    """Logits stretched and moved come back to slope and bias of the truth."""
    drawn = sample(20_000)
    fitted = calibration.fit(drawn.labels, (drawn.logits - 0.7) / 0.4)
    enough = drawn.labels.sum(axis=0) > 800
    assert enough.sum() > 8
    assert fitted.slope[enough] == pytest.approx(0.4, abs=0.05)
    assert fitted.bias[enough] == pytest.approx(0.7, abs=0.3)
    after = fitted.apply((drawn.logits - 0.7) / 0.4)
    assert all(calibration.expected_error(drawn.labels[:, c], after[:, c]) < 0.02 for c in range(COUNT))


def test_it_agrees_with_scikit_learn(sample: Callable[..., Any]) -> None:
    """With hundreds of images the ridge is nothing: an unregularised logistic regression gives the same."""
    drawn = sample(3000, blank=0.2)
    fitted = calibration.fit(drawn.labels, drawn.logits)
    column = 3
    known = ~np.isnan(drawn.labels[:, column])
    oracle = LogisticRegression(C=np.inf).fit(drawn.logits[known, column, None], drawn.labels[known, column])
    assert fitted.slope[column] == pytest.approx(oracle.coef_[0, 0], abs=0.01)
    assert fitted.bias[column] == pytest.approx(oracle.intercept_[0], abs=0.01)


def test_few_positives_borrow_the_slope(sample: Callable[..., Any]) -> None:
    """With 19 positives the slope is the others' median and the bias its own; without any, logits stay."""
    drawn = sample(2000)
    rare, empty = 5, 6
    positives = np.flatnonzero(drawn.labels[:, rare] == 1)
    drawn.labels[positives[19:], rare] = 0
    drawn.labels[:, empty] = 0
    fitted = calibration.fit(drawn.labels, drawn.logits * 2)
    own = [c for c in range(COUNT) if min((drawn.labels[:, c] == 1).sum(), (drawn.labels[:, c] == 0).sum()) >= 20]
    assert rare not in own
    assert fitted.slope[rare] == pytest.approx(np.median(fitted.slope[own]))
    assert fitted.apply(drawn.logits * 2)[:, rare].mean() == pytest.approx(19 / 2000, rel=0.05)
    assert (fitted.slope[empty], fitted.bias[empty]) == (1.0, 0.0)


def test_it_never_turns_a_model_around(sample: Callable[..., Any]) -> None:
    """A model that ranks the wrong way round stays so: calibration must not hide wrong labels from the gate."""
    drawn = sample(2000)
    fitted = calibration.fit(drawn.labels, -drawn.logits)
    assert (fitted.slope > 0).all()
    assert aurocs(drawn.labels, fitted.apply(-drawn.logits)).mean < 0.3


def test_separable_labels_stay_finite() -> None:
    """Perfectly separated logits give finite, steep figures."""
    logits = np.tile(np.linspace(-1000, 1000, 200)[:, None], COUNT)
    fitted = calibration.fit((logits > 0).astype(float), logits)
    assert np.isfinite(fitted.slope).all()
    assert np.isfinite(fitted.bias).all()
    assert np.array_equal(fitted.apply(logits) > 0.5, logits > 0)


def test_measures_are_scikit_learns(sample: Callable[..., Any]) -> None:
    """Brier score and reliability bins of equal size, on the known labels."""
    drawn = sample(1000, blank=0.3)
    labels, scores = drawn.labels[:, 3].astype(float), drawn.scores[:, 3].astype(float)
    known = ~np.isnan(labels)
    assert calibration.brier(labels, scores) == pytest.approx(brier_score_loss(labels[known], scores[known]))
    observed, predicted = calibration_curve(labels[known], scores[known], n_bins=10, strategy="quantile")
    bins = calibration.reliability(labels, scores)
    assert bins.observed == pytest.approx(observed, abs=0.04)
    assert bins.predicted == pytest.approx(predicted, abs=0.02)
    assert bins.images.sum() == known.sum()


def test_overconfidence_is_measured() -> None:
    """Scores of .9 on a fair coin are off by .4; scores of .5 by nothing; of nothing there is no figure."""
    coin = np.tile([0.0, 1.0], 500)
    assert calibration.expected_error(coin, np.full(1000, 0.9)) == pytest.approx(0.4)
    assert calibration.expected_error(coin, np.full(1000, 0.5)) == pytest.approx(0.0)
    nothing = np.full(3, np.nan)
    assert np.isnan(calibration.expected_error(nothing, np.zeros(3)))
    assert np.isnan(calibration.brier(nothing, np.zeros(3)))


def test_it_survives_json(sample: Callable[..., Any]) -> None:
    """Written and read back it gives the same scores."""
    drawn = sample(500)
    fitted = calibration.fit(drawn.labels, drawn.logits)
    again = calibration.Platt.from_dict(fitted.to_dict())
    assert np.array_equal(again.apply(drawn.logits), fitted.apply(drawn.logits))
