"""What each label asks of the network."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexpert.domain.digests import of_bytes
from chexpert.domain.labels import UncertaintyPolicy, impute_parents
from chexpert.domain.observations import OBSERVATIONS, PARENTS, Observation
from chexpert.training.settings import TrainingSettings
from chexpert.training.targets import read_targets

LABELS = st.lists(st.sampled_from([1.0, 0.0, -1.0, None]), min_size=14, max_size=14)
EDEMA = OBSERVATIONS.index(Observation.EDEMA)
NO_FINDING = OBSERVATIONS.index(Observation.NO_FINDING)


def _array(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[np.nan if value is None else value for value in row] for row in rows], np.float32)


def _names(count: int) -> list[str]:
    return [of_bytes(bytes([number // 256, number % 256])) for number in range(count)]


def _row(**labels: float) -> list[float | None]:
    return [labels.get(o.name) for o in OBSERVATIONS]


def _policies(policy: UncertaintyPolicy) -> TrainingSettings:
    return TrainingSettings(policies=dict.fromkeys(OBSERVATIONS, policy), impute_parents=False)


@given(st.lists(LABELS, min_size=1, max_size=8))
def test_parents_follow_the_domain_rule(rows: list[list[float | None]]) -> None:
    """What is present after imputation is what `impute_parents` says, for any labels."""
    targets = read_targets(_array(rows), _names(len(rows)), ["chexpert"] * len(rows), TrainingSettings())
    for row, truth in zip(rows, targets.truth, strict=True):
        imputed = impute_parents([None if value is None else int(value) for value in row])
        assert [bool(value == 1.0) for value in truth] == [value == 1 for value in imputed]


def test_parents_stay_when_imputation_is_off() -> None:
    """Switched off, a child's parent is read as it was written."""
    targets = read_targets(_array([_row(EDEMA=1)]), _names(1), ["a"], TrainingSettings(impute_parents=False))
    assert targets.values[0, OBSERVATIONS.index(PARENTS[Observation.EDEMA])] == 0.0


def test_a_blank_is_absent_in_reports_and_nothing_from_readers() -> None:
    """CheXpert's blanks count as 0; a finding that a reader skipped is left out of the loss."""
    labels = _array([_row(EDEMA=1), _row(EDEMA=1)])
    targets = read_targets(labels, _names(2), ["chexpert", "feedback"], TrainingSettings(impute_parents=False))
    assert (targets.weights[0] == 1.0).all()
    assert targets.weights[1].sum() == 1.0
    assert targets.weights[1, EDEMA] == 1.0
    assert np.isnan(np.delete(targets.truth[1], EDEMA)).all()
    np.testing.assert_array_equal(np.delete(targets.truth[0], EDEMA), 0.0)


def test_a_yes_no_truth_says_nothing_of_single_findings() -> None:
    """'Not normal' alone masks the other 13; 'normal' alone means that they are absent."""
    labels = _array([_row(NO_FINDING=0), _row(NO_FINDING=1)])
    weights = read_targets(labels, _names(2), ["a", "a"], TrainingSettings()).weights
    assert np.flatnonzero(weights[0]).tolist() == [NO_FINDING]
    assert (weights[1] == 1.0).all()


@pytest.mark.parametrize("policy", list(UncertaintyPolicy))
def test_uncertain_labels_follow_their_policy(policy: UncertaintyPolicy) -> None:
    """Targets of -1 fill the policy's interval, or are masked; certain ones are never touched."""
    rows = 500
    labels = np.tile(np.array([1, 0, -1, *[0] * 11], np.float32), (rows, 1))
    targets = read_targets(labels, _names(rows), ["a"] * rows, _policies(policy))
    np.testing.assert_array_equal(targets.values[:, :2], labels[:, :2])
    drawn = targets.values[:, 2]
    if policy.interval is None:
        assert not targets.weights[:, 2].any()
        return
    low, high = policy.interval
    assert targets.weights.all()
    assert drawn.min() >= low - 1e-6
    assert drawn.max() <= high + 1e-6
    assert np.isclose(drawn.mean(), (low + high) / 2, atol=0.02)
    assert np.isnan(targets.truth[:, 2]).all()


@given(st.permutations(range(20)), st.integers(0, 2**31))
def test_a_draw_belongs_to_the_image(order: list[int], seed: int) -> None:
    """The same image has the same target in any order of rows; other images and findings have others."""
    labels, names = np.full((20, 14), -1, np.float32), np.array(_names(20))
    settings = TrainingSettings(seed=seed)
    straight = read_targets(labels, list(names), ["a"] * 20, settings)
    shuffled = read_targets(labels, list(names[order]), ["a"] * 20, settings)
    np.testing.assert_array_equal(straight.values[order], shuffled.values)
    assert len(np.unique(straight.values[:, 3])) > 15


def test_another_seed_draws_others() -> None:
    """Targets of uncertain labels depend on the seed."""
    labels = np.full((4, 14), -1, np.float32)
    one, two = (read_targets(labels, _names(4), ["a"] * 4, TrainingSettings(seed=seed)).values for seed in (1, 2))
    assert not np.isclose(one, two).any()


def test_every_label_and_source_is_bounded() -> None:
    """Whatever is written, targets lie in [0, 1] and weights are 0 or 1."""
    labels = _array([list(row) * 7 for row in product([1.0, 0.0, -1.0, None], repeat=2)])
    targets = read_targets(labels, _names(16), ["feedback", "x"] * 8, TrainingSettings())
    assert ((targets.values >= 0) & (targets.values <= 1)).all()
    assert set(np.unique(targets.weights)) <= {0.0, 1.0}
