import time

import numpy as np
import pytest

from chexpert.domain.errors import InputError
from chexpert.simulator.benefit import QueueSettings, compare, compare_seeds, minutes_saved
from chexpert.simulator.closed_forms import Overloaded, StudyClass, UnequalReads, first_come, non_preemptive, preemptive
from chexpert.simulator.reading_queue import waits_first_come, waits_non_preemptive, waits_preemptive

# QuCAD (FDA, CC0) and its closed forms, read time 10 min: load, prevalence, Se, Sp, readers, preemptive,
# then minutes: first come, flagged, unflagged, diseased, healthy.
GOLDEN = [
    (0.8, 0.1, 0.95, 0.9, 1, True, 40.0000, 1.7371, 48.6854, 4.0845, 43.9906),
    (0.8, 0.1, 0.90, 0.9, 1, True, 40.0000, 1.6822, 48.4112, 6.3551, 43.7383),
    (0.5, 0.1, 0.95, 0.9, 1, True, 10.0000, 1.0193, 12.0386, 1.5702, 10.9366),
    (0.3, 0.1, 0.95, 0.9, 1, True, 4.2857, 0.5876, 5.1252, 0.8145, 4.6714),
    (0.9, 0.1, 0.95, 0.9, 1, True, 90.0000, 1.9976, 109.9760, 7.3965, 99.1782),
    (0.8, 0.05, 0.95, 0.9, 1, True, 40.0000, 1.2867, 46.4334, 3.5440, 41.9187),
    (0.8, 0.2, 0.95, 0.9, 1, True, 40.0000, 2.7551, 53.7755, 5.3061, 48.6735),
    (0.8, 0.3, 0.70, 0.95, 1, True, 40.0000, 2.4378, 52.1891, 17.3632, 49.7015),
    (0.8, 0.1, 0.95, 0.9, 2, True, 17.7778, 0.2239, 21.7624, 1.3009, 19.6085),
    (0.8, 0.1, 0.95, 0.9, 3, True, 10.7865, 0.0429, 13.2252, 0.7021, 11.9070),
    (0.8, 0.1, 0.95, 0.9, 1, False, 40.0000, 9.3897, 46.9484, 11.2676, 43.1925),
    (0.8, 0.1, 0.95, 0.9, 2, False, 17.7778, 4.1732, 20.8659, 5.0078, 19.1967),
    (0.8, 0.3, 0.70, 0.95, 2, True, 17.7778, 0.3995, 23.4171, 7.3048, 22.2662),
]


def classes_of(load: float, prevalence: float, se: float, sp: float, readers: int) -> list[StudyClass]:
    rate = load * readers / 10.0
    flagged = prevalence * se + (1.0 - prevalence) * (1.0 - sp)
    return [StudyClass(rate * flagged, 10.0), StudyClass(rate * (1.0 - flagged), 10.0)]


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_closed_forms_agree_with_qucad(row: tuple[float, ...]) -> None:
    """Each printed digit of QuCAD's table comes out of the closed forms."""
    load, prevalence, se, sp, readers, is_preemptive, fifo, flagged, unflagged, diseased, healthy = row
    classes = classes_of(load, prevalence, se, sp, int(readers))
    waits = (preemptive if is_preemptive else non_preemptive)(classes, int(readers))
    assert first_come(classes, int(readers)) == pytest.approx(fifo, abs=6e-5)
    assert waits == pytest.approx([flagged, unflagged], abs=6e-5)
    assert se * waits[0] + (1 - se) * waits[1] == pytest.approx(diseased, abs=6e-5)
    assert (1 - sp) * waits[0] + sp * waits[1] == pytest.approx(healthy, abs=6e-5)


def test_closed_form_of_interrupting_studies_agrees_with_qucad() -> None:
    """A tenth of 5-minute studies that interrupt: 41.0989 first come, 2.4984 flagged, 49.8610 unflagged."""
    rate = 0.8 / 9.5
    trauma, rest = StudyClass(0.1 * rate, 5.0), 0.9 * rate
    waits = preemptive([trauma, StudyClass(0.185 * rest, 10.0), StudyClass(0.815 * rest, 10.0)])
    assert waits[1:] == pytest.approx([2.4984, 49.8610], abs=6e-5)
    assert preemptive([trauma, StudyClass(rest, 10.0)])[1] == pytest.approx(41.0989, abs=6e-5)


HIERARCHY = {"pneumothorax": (0.03, 0.9, 0.05), "effusion": (0.12, 0.85, 0.1), "consolidation": (0.10, 0.8, 0.1)}
"""Prevalence, sensitivity, false positive share; an image takes its highest flag."""


def ranks_of(truth: str) -> list[float]:
    """Share of studies with that truth that end in each rank; the last is unflagged."""
    shares, left = [], 1.0
    for name, (_, sensitivity, false_positive) in HIERARCHY.items():
        hit = left * (sensitivity if name == truth else false_positive)
        shares.append(hit)
        left -= hit
    return [*shares, left]


def test_closed_form_of_a_hierarchy_agrees_with_multi_qucad() -> None:
    """Three findings in rank, 4-minute reads, load 0.8: the wait of each finding and of the unflagged."""
    prevalence = {name: share for name, (share, _, _) in HIERARCHY.items()}
    prevalence["none"] = 1.0 - sum(prevalence.values())
    shares = sum(share * np.asarray(ranks_of(truth)) for truth, share in prevalence.items())
    classes = [StudyClass(0.2 * float(share), 4.0) for share in np.atleast_1d(shares)]
    for form, expected in ((non_preemptive, [5.0395, 6.6782, 8.5245]), (preemptive, [2.2994, 4.3478, 6.6556])):
        waits = np.asarray(form(classes))
        assert [float(waits @ ranks_of(name)) for name in HIERARCHY] == pytest.approx(expected, abs=6e-5)
    assert non_preemptive(classes)[3] == pytest.approx(23.2006, abs=6e-5)


def test_unequal_reads_of_several_readers_are_refused() -> None:
    """No closed form is known there, and none is made up."""
    with pytest.raises(UnequalReads):
        non_preemptive([StudyClass(0.05, 10.0), StudyClass(0.05, 5.0)], 2)


def test_an_overloaded_room_is_refused() -> None:
    """Waits without a mean are not given one, neither by the forms nor by the simulation."""
    with pytest.raises(Overloaded, match=r"1\.000"):
        first_come([StudyClass(0.1, 10.0)])
    with pytest.raises(Overloaded):
        QueueSettings(load=1.0)


def test_a_cap_on_interruptible_readings_is_refused() -> None:
    """The cap is defined for readings that are finished."""
    with pytest.raises(InputError, match="cap"):
        QueueSettings(is_preemptive=True, cap_minutes=60.0)


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_simulation_lies_within_three_standard_errors_of_every_closed_form(row: tuple[float, ...]) -> None:
    """First come, flagged, unflagged, diseased and healthy waits, on 300,000 studies of one seed."""
    load, prevalence, se, sp, readers, is_preemptive, *expected = row
    settings = QueueSettings(
        load=load,
        prevalence=prevalence,
        readers=int(readers),
        is_preemptive=bool(is_preemptive),
        studies=300_000,
    )
    seen = compare(settings, se, sp, np.random.default_rng(11))
    groups = (seen.first_come, seen.flagged, seen.unflagged, seen.diseased, seen.healthy)
    for group, minutes in zip(groups, expected, strict=True):
        assert abs(group.mean - minutes) < 3.0 * group.error
        assert group.error < 0.12 * minutes  # an error so large that anything passes would be no test


def test_simulation_of_interrupting_studies_agrees_with_the_closed_form() -> None:
    """A tenth of 5-minute studies that interrupt every reading."""
    settings = QueueSettings(is_preemptive=True, interrupting_share=0.1, studies=300_000)
    seen = compare(settings, 0.95, 0.9, np.random.default_rng(3))
    groups = (seen.first_come, seen.flagged, seen.unflagged, seen.diseased, seen.healthy)
    for group, minutes in zip(groups, (41.0989, 2.4984, 49.8610, 4.8666, 45.1247), strict=True):
        assert abs(group.mean - minutes) < 3.0 * group.error


@pytest.mark.parametrize(
    ("readers", "load", "cap", "flagged", "unflagged"),
    [(1, 0.8, 60.0, 29.1, 41.8), (1, 0.8, 120.0, 18.5, 44.2), (2, 0.8, 60.0, 8.22, 19.6), (2, 0.8, 120.0, 4.82, 20.4)],
)
def test_a_cap_costs_the_flagged_what_was_measured_before(
    readers: int,
    load: float,
    cap: float,
    flagged: float,
    unflagged: float,
) -> None:
    """Means of an independent simulation (10^6 studies, noise 1-2 %) come out within 6 %."""
    settings = QueueSettings(load=load, readers=readers, cap_minutes=cap, studies=1_000_000)
    seen = compare(settings, 0.95, 0.9, np.random.default_rng(2))
    assert seen.flagged.mean == pytest.approx(flagged, rel=0.06)
    assert seen.unflagged.mean == pytest.approx(unflagged, rel=0.06)


def test_a_million_studies_take_under_three_seconds() -> None:
    """Both orders of one reader, on the same arrivals."""
    began = time.process_time()
    compare(QueueSettings(studies=1_000_000), 0.95, 0.9, np.random.default_rng(0))
    assert time.process_time() - began < 3.0


def test_useless_flags_save_nothing() -> None:
    """Flags by chance (Se = 1 - Sp) leave the diseased where they were; flags of nobody change nothing at all."""
    chance = compare(QueueSettings(studies=300_000), 0.3, 0.7, np.random.default_rng(5))
    assert abs(chance.delta_diseased) < 3.0 * chance.delta_diseased_error
    nobody = compare(QueueSettings(studies=10_000), 0.0, 1.0, np.random.default_rng(5))
    assert nobody.delta_diseased == pytest.approx(0.0, abs=1e-6)
    assert nobody.flagged.studies == 0


def test_a_better_sensitivity_saves_more_minutes_on_the_same_studies() -> None:
    """Paired by seed, so the order holds far inside the noise of one simulation."""
    settings = QueueSettings(studies=20_000)
    better, error = minutes_saved(compare_seeds(settings, 0.95, 0.9, range(4)))
    worse, _ = minutes_saved(compare_seeds(settings, 0.85, 0.9, range(4)))
    assert better > worse + 1.0
    assert 0.0 < error < better


def test_the_same_seed_gives_the_same_benefit() -> None:
    """A figure in a verdict can be computed again."""
    settings = QueueSettings(studies=5_000)
    one, two = (compare(settings, 0.9, 0.9, np.random.default_rng(4)) for _ in range(2))
    assert one == two


def brute_force(arrived: list[float], reads: list[float], urgency: list[int], readers: int) -> list[float]:
    """Look at every waiting study at every decision."""
    free, waits, left = [0.0] * readers, [0.0] * len(arrived), set(range(len(arrived)))
    while left:
        reader = min(range(readers), key=lambda r: free[r])
        now = max(free[reader], min(arrived[i] for i in left))
        study = min((i for i in left if arrived[i] <= now), key=lambda i: (urgency[i], arrived[i]))
        waits[study] = now - arrived[study]
        free[reader] = now + reads[study]
        left.remove(study)
    return waits


@pytest.mark.parametrize("readers", [1, 2, 3])
def test_each_wait_is_that_of_the_rule_spelled_out(readers: int) -> None:
    """Study by study the fast simulation agrees with one that looks at all waiting studies each time."""
    rng = np.random.default_rng(readers)
    arrived = np.cumsum(rng.exponential(1.0, 300))
    reads = rng.exponential(0.9 * readers, 300)
    urgency = rng.integers(0, 3, 300)
    expected = brute_force(arrived.tolist(), reads.tolist(), urgency.tolist(), readers)
    assert waits_non_preemptive(arrived, reads, urgency, readers) == pytest.approx(expected)
    first = brute_force(arrived.tolist(), reads.tolist(), [0] * 300, readers)
    assert waits_first_come(arrived, reads, readers) == pytest.approx(first)
    one_class = np.zeros(300, dtype=np.int64)
    assert waits_preemptive(arrived, reads, one_class, readers) == pytest.approx(first)


def test_an_urgent_study_interrupts_and_the_reading_is_resumed() -> None:
    """The interrupted study ends as late as the interruption took; another reader takes over what waits."""
    arrived, reads, urgency = np.array([0.0, 4.0]), np.array([10.0, 3.0]), np.array([1, 0])
    assert waits_preemptive(arrived, reads, urgency) == pytest.approx([3.0, 0.0])
    assert waits_preemptive(arrived, reads, urgency, 2) == pytest.approx([0.0, 0.0])
    assert waits_non_preemptive(arrived, reads, urgency) == pytest.approx([0.0, 6.0])
