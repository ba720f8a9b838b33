"""Drift by Evidently, with a method that has a name."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from chexpert.domain.records import STATISTICS
from chexpert.monitoring.drift import CANARY_STABLE, STABLE_REFERENCE, DriftSettings, compare, wasserstein
from chexpert.monitoring.reference import Reference
from chexpert.monitoring.window import Window
from chexpert.testing.logs import Population

SETTINGS = DriftSettings()
WindowOf = Callable[..., Window]


@pytest.fixture
def reference(population: Population) -> Reference:
    return Reference(population.scores, population.statistics)


def test_equal_windows_do_not_drift_and_evidently_used_our_test(window_of: WindowOf, reference: Reference) -> None:
    """Kolmogorov-Smirnov at 0.05 over the number of columns: SciPy's p values, the corrected threshold."""
    ours, theirs = window_of("v2", 40), window_of("v1", 360)
    report = compare(ours, theirs, reference, reference, SETTINGS)
    assert (report.blamed, report.input_shifted) == ((), ())
    assert len(report.rows) == 3 * 19
    assert {row.threshold for row in report.rows} == {0.05 / 19}
    edema = next(r for r in report.rows if r.column == "Edema" and r.comparison == CANARY_STABLE)
    assert edema.p == pytest.approx(stats.ks_2samp(theirs.scores[:, 5], ours.scores[:, 5]).pvalue)
    assert edema.shift == pytest.approx(stats.wasserstein_distance(ours.scores[:, 5], theirs.scores[:, 5]))
    page = report.pages[CANARY_STABLE]
    assert "Edema" in page
    assert set(report.pages) == {CANARY_STABLE}


def test_a_candidate_that_moves_alone_is_blamed(window_of: WindowOf, reference: Reference) -> None:
    """Its scores differ from the stable's on the same kind of images: its own doing."""
    report = compare(window_of("v2", 60, score_shift=0.3), window_of("v1", 360), None, reference, SETTINGS)
    assert "Edema" in report.blamed
    assert report.input_shifted == ()


def test_a_shift_of_both_is_the_inputs(window_of: WindowOf, reference: Reference) -> None:
    """Both moved from their references: an alarm that blames nobody, with the page that shows it."""
    ours, theirs = (window_of(v, n, statistic_shift=0.2, score_shift=0.2) for v, n in (("v2", 60), ("v1", 360)))
    report = compare(ours, theirs, reference, reference, SETTINGS)
    assert report.blamed == ()
    assert set(STATISTICS) <= set(report.input_shifted)
    assert STABLE_REFERENCE in report.pages


def test_a_candidate_is_not_blamed_for_other_images(window_of: WindowOf) -> None:
    """Where the images themselves differ from the stable's, scores may: no model changes an image."""
    report = compare(
        window_of("v2", 60, statistic_shift=0.2, score_shift=0.3), window_of("v1", 360), None, None, SETTINGS
    )
    assert report.blamed == ()
    assert "mean" in report.input_shifted


def test_a_difference_that_does_not_matter_is_noted_only(window_of: WindowOf) -> None:
    """With thousands of answers any two models differ; a shift of .03 is significant and no reason to return."""
    report = compare(window_of("v2", 2_000, score_shift=0.03), window_of("v1", 2_000), None, None, SETTINGS)
    assert min(row.p for row in report.rows) < 0.05 / 19
    assert (report.blamed, report.input_shifted) == ((), ())


def test_columns_with_too_few_values_are_left_out(window_of: WindowOf) -> None:
    """A statistic that was never measured (raw pixels came in) is not compared; nothing to compare is no drift."""
    ours, theirs = window_of("v2", 40), window_of("v1", 360)
    ours.statistics[:, 4] = np.nan
    rows = compare(ours, theirs, None, None, SETTINGS).rows
    assert len(rows) == 18
    assert {row.threshold for row in rows} == {0.05 / 18}
    assert compare(window_of("v2", 5), theirs, None, None, SETTINGS).rows == ()
    assert compare(ours, theirs, None, None, DriftSettings(alpha=0.0)).rows == ()


def test_wasserstein_agrees_with_scipy(rng: np.random.Generator) -> None:
    """Our distance is SciPy's, with ties and with samples of different sizes."""
    one, other = rng.integers(0, 5, 40) / 5, rng.random(333)
    assert wasserstein(one, other) == pytest.approx(stats.wasserstein_distance(one, other))
    assert wasserstein(one, one) == 0.0


def test_false_alarms_on_equal_windows_stay_under_five_percent(population: Population) -> None:
    """40 canary answers against 360, 2,000 times: the rule of the p values alone alarms in at most 5 % of them.

    Evidently's Kolmogorov-Smirnov is SciPy's (held above), so SciPy counts here; bench/drift.py counts whole reports.
    """
    rng, rounds, alarms = np.random.default_rng(17), 2_000, 0
    whole = np.concatenate([population.scores, population.statistics], axis=1)
    for _ in range(rounds):
        ours, theirs = whole[rng.integers(0, len(whole), 40)], whole[rng.integers(0, len(whole), 360)]
        both = np.concatenate([ours, theirs])
        below = [
            np.stack([np.searchsorted(np.sort(s[:, c]), both[:, c], "right") for c in range(19)]) / len(s)
            for s in (ours, theirs)
        ]
        furthest = int(np.abs(below[0] - below[1]).max(axis=1).argmax())  # has the least p: all sizes are equal
        alarms += stats.ks_2samp(ours[:, furthest], theirs[:, furthest]).pvalue < 0.05 / 19
    assert 0 < alarms <= 0.05 * rounds
