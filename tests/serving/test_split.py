"""Traffic split."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexpert.serving.split import NothingToSplit, Split


def choices(weights: dict[str, int], count: int) -> list[str]:
    split, chosen = Split(weights), []
    for _ in range(count):
        name, split = split.choose()
        chosen.append(name)
    return chosen


@pytest.mark.parametrize("percent", [0, 10, 50, 90, 100])
def test_every_window_of_ten_holds_the_exact_share(percent: int) -> None:
    """At 10/90 each run of ten requests has exactly one of the canary, wherever it begins."""
    chosen = choices({"v1": 100 - percent, "v2": percent}, 100)
    for start in range(91):
        assert chosen[start : start + 10].count("v2") == percent // 10


@given(st.dictionaries(st.sampled_from(["v1", "v2", "v3", "v4"]), st.integers(0, 100), min_size=1))
def test_one_period_holds_every_weight_exactly(weights: dict[str, int]) -> None:
    """Over as many requests as the weights sum to, each version has its weight; a weight of 0 has none."""
    total = sum(weights.values())
    if total:
        assert Counter(choices(weights, total)) == Counter(weights)


def test_choosing_changes_nothing() -> None:
    """The rule is pure: the same split chooses the same again."""
    _, split = Split({"v1": 70, "v2": 30}).choose()
    assert split.choose() == split.choose()


def test_no_traffic_for_anyone_is_refused() -> None:
    """All weights 0 is an error that names them, not an arbitrary version."""
    with pytest.raises(NothingToSplit, match="'v1': 0"):
        Split({"v1": 0}).choose()
