"""The arithmetic of `make bench-serving`, on numbers that were recorded."""

import math
from collections.abc import Callable
from typing import Any

import pytest

RECORDED: list[dict[str, dict[str, float]]] = [
    {"ours": {"p50_c1": 22.0, "rps_c4": 46.0, "p99_c4": 130.0}, "bare": {"p50_c1": 42.0, "rps_c4": 27.0}},
    {"ours": {"p50_c1": 66.0, "rps_c4": 15.0, "p99_c4": 900.0}, "bare": {"p50_c1": 120.0, "rps_c4": 9.0}},
    {"ours": {"p50_c1": 24.0, "rps_c4": 40.0, "p99_c4": 140.0}, "bare": {"p50_c1": 41.0, "rps_c4": 28.0}},
]
"""Three rounds, the second in a slow minute."""


@pytest.fixture
def table(bench: Callable[[str], Any]) -> Any:
    return bench("serving.table")


def test_ratios_are_taken_within_a_round(table: Any) -> None:
    """A slow minute hits both sides: its ratio is as good as the others', and the spread is that of ratios."""
    row = table.row(table.Target("latency", "ours", "p50_c1", "bare", at_most=0.60), RECORDED)
    assert row.median == pytest.approx(66 / 120)
    assert (row.low, row.high) == pytest.approx((22 / 42, 24 / 41))
    assert (row.target, row.met) == ("<= 0.6", True)


def test_a_missed_target_is_said(table: Any) -> None:
    """The median decides, whatever the best round was."""
    row = table.row(table.Target("throughput", "ours", "rps_c4", "bare", at_least=1.7), RECORDED)
    assert row.high > 1.7
    assert row.met is False


def test_a_line_that_cannot_be_judged_still_shows_its_numbers(table: Any) -> None:
    """Elsewhere than on the processor that a target names, the ratio stands without a verdict."""
    row = table.row(
        table.Target("latency", "ours", "p50_c1", "bare", at_most=0.1), RECORDED, judged=False, note="no vnni"
    )
    assert (row.met, row.note) == (None, "no vnni")
    assert row.median == pytest.approx(66 / 120)


def test_a_number_without_a_peer_is_itself(table: Any) -> None:
    """p99 is held against its limit as it was measured."""
    row = table.row(table.Target("p99", "ours", "p99_c4", at_most=1000.0), RECORDED)
    assert (row.median, row.low, row.high, row.met) == (140.0, 130.0, 900.0, True)


@pytest.mark.parametrize(("percent", "expected"), [(50, 3.0), (99, 5.0), (1, 1.0), (100, 5.0)])
def test_a_percentile_is_a_value_that_occurred(table: Any, percent: float, expected: float) -> None:
    """Nearest rank: p99 of few requests is the slowest of them, never less."""
    assert table.percentile([5.0, 1.0, 4.0, 2.0, 3.0], percent) == expected


def test_no_answer_has_no_percentile(table: Any) -> None:
    """Nothing was answered: that is not a time, and it misses every limit."""
    row = table.of_values(table.Target("p99", "ours", "", at_most=1000.0), [table.percentile([], 99)])
    assert math.isnan(row.median)
    assert row.met is False


def test_one_measurement_gives_latency_and_rate(table: Any) -> None:
    """Names end in the concurrency, so that both concurrencies of a way stand side by side."""
    assert table.numbers([10.0, 20.0, 30.0], 0.5, 4) == {"p50_c4": 20.0, "p99_c4": 30.0, "rps_c4": 6.0}


def test_medians_are_per_way_and_number(table: Any) -> None:
    """The second table, in the units of the measurement."""
    assert table.medians(RECORDED)["bare"] == {"p50_c1": 42.0, "rps_c4": 27.0}
