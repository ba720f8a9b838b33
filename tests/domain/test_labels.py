import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexpert.domain.labels import DEFAULT_POLICIES, PRESENT, Label, UncertaintyPolicy, impute_parents
from chexpert.domain.observations import COMPETITION, FLAGGABLE, OBSERVATIONS, PARENTS, PRIORITISED, Observation

label_rows = st.lists(st.sampled_from([1, 0, -1, None]), min_size=14, max_size=14)


def test_the_observations_stand_in_the_order_of_the_csv() -> None:
    """The order is CheXpert's header, on which arrays of 14 rely."""
    assert list(OBSERVATIONS)[:3] == ["No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly"]
    assert OBSERVATIONS[-1] == "Support Devices"
    assert len(OBSERVATIONS) == 14
    assert set(COMPETITION) <= set(PRIORITISED) <= set(FLAGGABLE)


@given(labels=label_rows)
def test_a_present_child_makes_its_parent_present(labels: list[Label]) -> None:
    """After imputation the hierarchy holds; twice changes nothing."""
    imputed = dict(zip(OBSERVATIONS, impute_parents(labels), strict=True))
    assert all(imputed[parent] == PRESENT for child, parent in PARENTS.items() if imputed[child] == PRESENT)
    assert impute_parents(impute_parents(labels)) == impute_parents(labels)


@given(labels=label_rows)
def test_imputation_changes_only_parents_and_only_to_present(labels: list[Label]) -> None:
    """Nothing is taken away, and an uncertain child says nothing of its parent."""
    for observation, before, after in zip(OBSERVATIONS, labels, impute_parents(labels), strict=True):
        if before != after:
            assert observation in PARENTS.values()
            assert after == PRESENT
            children = [c for c, p in PARENTS.items() if p is observation]
            assert any(labels[OBSERVATIONS.index(c)] == PRESENT for c in children)


def test_imputation_refuses_a_wrong_number() -> None:
    """15 labels are a mistake, not a row."""
    with pytest.raises(ValueError, match="longer"):
        impute_parents([0] * 15)


@pytest.mark.parametrize("policy", UncertaintyPolicy)
def test_a_policy_is_an_interval_or_a_mask(policy: UncertaintyPolicy) -> None:
    """Targets lie in [0, 1]; the ones lie above one half, the zeros below."""
    interval = policy.interval
    if interval is None:
        assert policy is UncertaintyPolicy.IGNORE
        return
    low, high = interval
    assert 0.0 <= low <= high <= 1.0
    assert (low > 0.5) if "ones" in policy else (high < 0.5)


def test_every_observation_has_a_default_policy() -> None:
    """Atelectasis and Edema read uncertain as present, the rest as absent."""
    ones = {o for o, policy in DEFAULT_POLICIES.items() if policy is UncertaintyPolicy.SMOOTH_ONES}
    assert ones == {Observation.ATELECTASIS, Observation.EDEMA}
    assert set(DEFAULT_POLICIES) == set(OBSERVATIONS)
