from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexpert.domain.observations import CRITICAL, FLAGGABLE, Observation
from chexpert.domain.studies import Tier
from chexpert.domain.triage import Entry, TriageRule, order

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULE = TriageRule()
UNCAPPED = TriageRule(caps={})

moments = st.integers(0, 400).map(lambda minutes: NOW - timedelta(minutes=minutes))
entries = st.builds(
    Entry,
    study=st.uuids().map(str),
    tier=st.sampled_from(Tier),
    arrived=moments,
    priority=st.none() | st.floats(0, 1),
    flag=st.none() | st.sampled_from(FLAGGABLE),
)
worklists = st.lists(entries, max_size=12, unique_by=lambda entry: entry.study)


def flagged(entry: Entry, observation: Observation, priority: float = 0.9) -> Entry:
    return Entry(entry.study, entry.tier, entry.arrived, priority, observation)


def unflagged(entry: Entry) -> Entry:
    return Entry(entry.study, entry.tier, entry.arrived, entry.priority)


@given(worklist=worklists)
def test_nothing_is_left_out_or_listed_twice(worklist: list[Entry]) -> None:
    """The order is a permutation of what was accepted."""
    assert sorted(e.study for e in order(worklist, NOW, RULE)) == sorted(e.study for e in worklist)


@given(entry=entries)
def test_a_flag_never_lowers_the_tier(entry: Entry) -> None:
    """Whatever the model says, a study stays at least as urgent as it was ordered."""
    assert RULE.raised_tier(entry) <= entry.tier


@given(
    worklist=st.lists(entries, min_size=1, max_size=12, unique_by=lambda e: e.study), flag=st.sampled_from(FLAGGABLE)
)
def test_a_flag_never_moves_a_study_back(worklist: list[Entry], flag: Observation) -> None:
    """With no caps, flagging one study leaves everyone who was behind it behind it."""
    worklist[0] = unflagged(worklist[0])
    study = worklist[0].study
    before = [e.study for e in order(worklist, NOW, UNCAPPED)].index(study)
    worklist[0] = flagged(worklist[0], flag)
    after = [e.study for e in order(worklist, NOW, UNCAPPED)].index(study)
    assert after <= before


@given(entry=entries, flag=st.sampled_from(FLAGGABLE))
def test_a_flag_never_sorts_a_study_behind_its_unflagged_self(entry: Entry, flag: Observation) -> None:
    """Also with caps: of two studies alike but for a flag, the flagged one in a higher tier is never later."""
    plain, raised = unflagged(entry), flagged(entry, flag)
    if not RULE.is_overdue(plain, NOW):
        assert RULE.key(raised, NOW) <= RULE.key(plain, NOW)
    else:
        assert RULE.raised_tier(raised) <= RULE.raised_tier(plain)


@given(worklist=worklists)
def test_tiers_stand_in_order(worklist: list[Entry]) -> None:
    """No study stands before one of a more urgent raised tier."""
    tiers = [RULE.raised_tier(e) for e in order(worklist, NOW, RULE)]
    assert tiers == sorted(tiers)


@given(worklist=worklists)
def test_within_a_tier_the_overdue_come_first_oldest_first(worklist: list[Entry]) -> None:
    """The cap bounds a wait whatever is flagged later."""
    ranked = order(worklist, NOW, RULE)
    for tier in Tier:
        late = [RULE.is_overdue(e, NOW) for e in ranked if RULE.raised_tier(e) is tier]
        assert late == sorted(late, reverse=True)
        arrivals = [e.arrived for e in ranked if RULE.raised_tier(e) is tier and RULE.is_overdue(e, NOW)]
        assert arrivals == sorted(arrivals)


@given(worklist=worklists)
def test_without_a_model_it_is_the_order_of_arrival(worklist: list[Entry]) -> None:
    """Predictor down: within the order's own tier, first come, first read."""
    ranked = order([Entry(e.study, e.tier, e.arrived) for e in worklist], NOW, RULE)
    assert [(e.tier, e.arrived, e.study) for e in ranked] == sorted((e.tier, e.arrived, e.study) for e in worklist)


@given(worklist=worklists, shuffled=st.randoms())
def test_the_order_does_not_depend_on_the_input_order(worklist: list[Entry], shuffled: object) -> None:
    """The key is total: no two studies tie."""
    again = list(worklist)
    shuffled.shuffle(again)  # type: ignore[attr-defined]
    assert order(again, NOW, RULE) == order(worklist, NOW, RULE)


def test_a_critical_flag_raises_to_stat_another_to_urgent() -> None:
    """Pneumothorax goes to the top tier by default; a site may list others."""
    routine = Entry("a", Tier.ROUTINE, NOW)
    assert RULE.raised_tier(flagged(routine, Observation.PNEUMOTHORAX)) is Tier.STAT
    assert RULE.raised_tier(flagged(routine, Observation.EDEMA)) is Tier.URGENT
    wider = TriageRule(critical=CRITICAL | {Observation.EDEMA})
    assert wider.raised_tier(flagged(routine, Observation.EDEMA)) is Tier.STAT


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (Entry("a", Tier.ROUTINE, NOW), "arrival order"),
        (Entry("a", Tier.URGENT, NOW), "ordered urgent, arrival order"),
        (Entry("a", Tier.STAT, NOW - timedelta(days=1)), "ordered STAT, arrival order"),
        (Entry("a", Tier.ROUTINE, NOW - timedelta(hours=2)), "past its 2 h cap: first among routine"),
        (Entry("a", Tier.ROUTINE, NOW, 0.8, Observation.EDEMA), "flag raised it to urgent"),
        (Entry("a", Tier.ROUTINE, NOW, 0.8, Observation.PNEUMOTHORAX), "flag raised it to STAT"),
        (Entry("a", Tier.URGENT, NOW, 0.8, Observation.EDEMA), "ordered urgent, flagged"),
        (Entry("a", Tier.STAT, NOW, 0.8, Observation.EDEMA), "ordered STAT, flagged"),
    ],
)
def test_every_position_says_why(entry: Entry, why: str) -> None:
    """A reader can tell tier, flag, cap and arrival apart."""
    assert RULE.why(entry, NOW) == why
