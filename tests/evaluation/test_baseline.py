"""The five-feature shortcut baseline."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from chexpert.evaluation import baseline
from chexpert.evaluation.auroc import aurocs
from chexpert.evaluation.inputs import ShapeMismatch


def test_it_is_a_ridge_logistic_regression(sample: Callable[..., Any]) -> None:
    """The same probabilities as scikit-learn's on standardised features, per observation, blanks left out."""
    drawn = sample(800, blank=0.2)
    rng = np.random.default_rng(1)
    statistics = rng.normal(size=(800, 5)) * [0.1, 0.05, 1, 20, 0.3] + 4 * np.nan_to_num(drawn.labels[:, [3]])
    fitted = baseline.fit(statistics, drawn.labels)
    scaled = StandardScaler().fit_transform(statistics)
    for column in (0, 3, 11):
        known = ~np.isnan(drawn.labels[:, column])
        oracle = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaled[known], drawn.labels[known, column])
        expected = oracle.predict_proba(scaled)[:, 1]
        assert fitted.scores(statistics)[:, column] == pytest.approx(expected, abs=1e-4)


def test_it_finds_a_shortcut_and_nothing_else(sample: Callable[..., Any]) -> None:
    """Where brightness tells the label it scores high on other images; where nothing does, as chance."""
    train, test = sample(1500, seed=1), sample(1500, seed=2)

    def statistics(drawn: Any, seed: int) -> Any:
        noise = np.random.default_rng(seed).normal(size=(len(drawn.labels), 5))
        noise[:, 0] += 2 * drawn.labels[:, 3]
        return noise

    scores = baseline.fit(statistics(train, 1), train.labels).scores(statistics(test, 2))
    found = aurocs(test.labels, scores).values
    assert found[3] > 0.85
    assert abs(np.delete(found, 3).mean() - 0.5) < 0.05


def test_one_class_gets_one_score(sample: Callable[..., Any]) -> None:
    """An observation never seen present gets the same low score for every image."""
    drawn = sample(200)
    drawn.labels[:, 12] = 0
    drawn.labels[:, 11] = np.nan
    statistics = np.random.default_rng(0).normal(size=(200, 5))
    statistics[:, 4] = 1.0  # All images square.
    scores = baseline.fit(statistics, drawn.labels).scores(statistics)
    assert np.unique(scores[:, 12]) == pytest.approx([0.5 / 201])
    assert np.unique(scores[:, 11]) == pytest.approx([0.5])


def test_bad_statistics_are_refused(sample: Callable[..., Any]) -> None:
    """Another width, another length and NaN are named."""
    drawn = sample(20)
    with pytest.raises(ShapeMismatch, match=r"statistics.*\(20, 4\)"):
        baseline.fit(np.zeros((20, 4)), drawn.labels)
    with pytest.raises(ShapeMismatch, match="statistics"):
        baseline.fit(np.zeros((19, 5)), drawn.labels)
    with pytest.raises(ShapeMismatch, match="all finite"):
        baseline.fit(np.full((20, 5), np.nan), drawn.labels)
