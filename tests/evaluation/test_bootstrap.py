"""Patient-level intervals."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from chexpert.evaluation.bootstrap import Interval, bootstrap, paired_bootstrap


def slow(labels: Any, scores: Any, patients: Any, rounds: int, seed: int) -> np.ndarray[Any, Any]:
    """The same bootstrap as a loop: draw patients, collect their images, call scikit-learn."""
    rng = np.random.default_rng(seed)
    keys = np.unique(patients)
    images = [np.flatnonzero(patients == key) for key in keys]
    found = []
    for _ in range(rounds):
        rows = np.concatenate([images[i] for i in rng.integers(0, len(keys), len(keys))])
        found.append([roc_auc_score(labels[rows, c], scores[rows, c]) for c in range(labels.shape[1])])
    return np.array(found)


def test_it_agrees_with_a_scikit_learn_loop(sample: Callable[..., Any]) -> None:
    """Drawing the same patients, percentiles are those of the loop that resorts every round."""
    drawn = sample(600, seed=3)
    scores = np.round(drawn.scores, 2)  # Ties in every column.
    loop = slow(drawn.labels, scores, drawn.patients, rounds=64, seed=5)
    found = bootstrap(drawn.labels, scores, drawn.patients, rounds=64, seed=5)
    for column, interval in enumerate(found.labels):
        low, high = np.percentile(loop[:, column], (2.5, 97.5))
        assert interval.low == pytest.approx(low, abs=1e-9)
        assert interval.high == pytest.approx(high, abs=1e-9)
    assert found.mean.low == pytest.approx(np.percentile(loop.mean(axis=1), 2.5), abs=1e-9)


def test_the_seed_decides(sample: Callable[..., Any]) -> None:
    """The same seed gives the same interval, another seed another."""
    drawn = sample(300)
    first, again, other = (
        bootstrap(drawn.labels, drawn.scores, drawn.patients, rounds=100, seed=seed).mean for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_images_of_one_patient_are_one_draw(sample: Callable[..., Any]) -> None:
    """Copying every patient's images does not narrow the interval; taking the copies for patients does."""
    drawn = sample(200)
    patients = np.arange(200)
    labels, scores = np.tile(drawn.labels, (5, 1)), np.tile(drawn.scores, (5, 1))
    once = bootstrap(drawn.labels, drawn.scores, patients, rounds=400).labels[3]
    copied = bootstrap(labels, scores, np.tile(patients, 5), rounds=400).labels[3]
    mistaken = bootstrap(labels, scores, np.arange(1000), rounds=400).labels[3]
    assert copied.estimate == pytest.approx(once.estimate)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert mistaken.high - mistaken.low < 0.6 * (once.high - once.low)


def test_the_interval_covers(sample: Callable[..., Any]) -> None:
    """In 100 samples the 95 % interval holds the true AUROC 88 to 100 times."""
    truth = 0.5 * (1 + math.erf(1.5 / 2))  # Two normals 1.5 apart.
    hits = 0
    for seed in range(100):
        drawn = sample(300, seed=seed)
        found = bootstrap(drawn.labels, drawn.scores, np.arange(300), rounds=200).labels[3]
        hits += found.low <= truth <= found.high
    assert 88 <= hits <= 100


def test_a_missing_class_has_no_interval(sample: Callable[..., Any]) -> None:
    """NaN in, NaN out, None in JSON, and the words 'not measured'."""
    drawn = sample(100)
    drawn.labels[:, 12] = 0
    found = bootstrap(drawn.labels, drawn.scores, drawn.patients, rounds=50).labels[12]
    assert math.isnan(found.estimate)
    assert found.to_dict() == {"estimate": None, "low": None, "high": None}
    assert math.isnan(Interval.from_dict(found.to_dict()).low)
    assert str(found) == "not measured"
    assert str(Interval(0.5, 0.25, 0.75)) == "0.500 [0.250, 0.750]"


def test_a_better_model_is_seen_to_be_better(sample: Callable[..., Any]) -> None:
    """The paired interval of a plainly better model lies above zero, of a worse one below, of an equal one at it."""
    drawn = sample(500)
    worse = drawn.logits + np.random.default_rng(1).normal(size=drawn.logits.shape) * 2
    arrays = {"rounds": 200, "seed": 3}
    assert paired_bootstrap(drawn.labels, drawn.logits, worse, drawn.patients, **arrays).low > 0
    assert paired_bootstrap(drawn.labels, worse, drawn.logits, drawn.patients, **arrays).high < 0
    assert paired_bootstrap(drawn.labels, worse, worse, drawn.patients, **arrays) == Interval(0.0, 0.0, 0.0)


def test_pairing_narrows(sample: Callable[..., Any]) -> None:
    """On the same images a small difference is seen that two separate intervals would hide."""
    drawn = sample(500)
    near = drawn.logits + np.random.default_rng(1).normal(size=drawn.logits.shape) * 0.3
    paired = paired_bootstrap(drawn.labels, drawn.logits, near, drawn.patients, rounds=300)
    alone = bootstrap(drawn.labels, drawn.logits, drawn.patients, rounds=300).mean
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_a_thousand_rounds_on_25000_images_take_seconds(sample: Callable[..., Any]) -> None:
    """Fast enough for every evaluation; the ratio to a scikit-learn loop is in bench/bootstrap.py."""
    drawn = sample(25_000, blank=0.1)
    started = time.perf_counter()
    found = bootstrap(drawn.labels, drawn.scores, drawn.patients, rounds=1000)
    assert time.perf_counter() - started < 10
    assert found.mean.high - found.mean.low < 0.02
