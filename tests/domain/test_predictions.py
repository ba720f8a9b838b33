import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexpert.domain.observations import FLAGGABLE, OBSERVATIONS, PARENTS, PRIORITISED, Observation
from chexpert.domain.predictions import flag, priority

scores = st.lists(st.floats(0, 1), min_size=14, max_size=14)
points = st.dictionaries(st.sampled_from(OBSERVATIONS), st.floats(0, 1))


@given(given_scores=scores)
def test_priority_is_a_probability(given_scores: list[float]) -> None:
    """Noisy-or of probabilities stays in [0, 1] and is at least the largest of them."""
    value = priority(given_scores)
    assert 0.0 <= value <= 1.0
    largest = max(s for o, s in zip(OBSERVATIONS, given_scores, strict=True) if o in PRIORITISED)
    assert value >= largest - 1e-12


@given(given_scores=scores, index=st.integers(0, 13), more=st.floats(0, 1))
def test_priority_never_falls_when_a_score_rises(given_scores: list[float], index: int, more: float) -> None:
    """More suspicion of anything never lowers a study."""
    raised = list(given_scores)
    raised[index] = max(raised[index], more)
    assert priority(raised) >= priority(given_scores) - 1e-12


@pytest.mark.parametrize(
    "silent", [Observation.NO_FINDING, Observation.SUPPORT_DEVICES, *sorted(set(PARENTS.values()))]
)
def test_priority_ignores_devices_no_finding_and_parents(silent: Observation) -> None:
    """A device is no reason, 'No Finding' lowers nobody, and a parent would count its child twice."""
    assert priority([float(o is silent) for o in OBSERVATIONS]) == 0.0


def test_priority_by_hand() -> None:
    """1 - (1 - 0.5)(1 - 0.2)."""
    values = {Observation.EDEMA: 0.5, Observation.FRACTURE: 0.2}
    assert priority([values.get(o, 0.0) for o in OBSERVATIONS]) == pytest.approx(0.6)


def test_priority_refuses_a_wrong_number_of_scores() -> None:
    """13 scores are not silently paired with the wrong observations."""
    with pytest.raises(ValueError, match="shorter"):
        priority([0.1] * 13)


@given(given_scores=scores, operating_points=points)
def test_flag_is_the_furthest_above_its_point(
    given_scores: list[float],
    operating_points: dict[Observation, float],
) -> None:
    """One flag at most, of something flaggable at or above its point, and none lies further above."""
    flagged = flag(given_scores, operating_points)
    by_name = dict(zip(OBSERVATIONS, given_scores, strict=True))
    margins = {o: by_name[o] - p for o, p in operating_points.items() if o in FLAGGABLE}
    if flagged is None:
        assert all(margin < 0 for margin in margins.values())
    else:
        assert flagged in FLAGGABLE
        assert margins[flagged] == max(margins.values()) >= 0


def test_no_operating_point_no_flag() -> None:
    """An observation that calibration gave no point is never flagged."""
    assert flag([1.0] * 14, {}) is None
    assert flag([1.0] * 14, {Observation.SUPPORT_DEVICES: 0.1, Observation.NO_FINDING: 0.1}) is None
    assert flag([1.0] * 14, {Observation.EDEMA: 1.0}) is Observation.EDEMA
