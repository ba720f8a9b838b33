"""The gate of one stage; each refusal beside an acceptance."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from chexpert.domain.records import Outcome
from chexpert.monitoring.answers import Answers
from chexpert.monitoring.drift import DriftReport
from chexpert.monitoring.replay import Replay
from chexpert.monitoring.stage import Action, Decision, early, judge
from chexpert.monitoring.thresholds import StageThresholds
from chexpert.monitoring.window import Window

WindowOf = Callable[..., Window]

DEMO = StageThresholds.demo()
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def look(ours: Window, theirs: Window, *, after_s: float = 10) -> Decision | None:
    return early("canary-10", ours, theirs, DEMO, started=NOON, now=NOON + timedelta(seconds=after_s))


def test_a_healthy_canary_waits_then_is_due_then_goes(window_of: WindowOf) -> None:
    """Under its requests it waits; full, it is due for judgement; judged, it goes."""
    theirs = window_of("v1", 360)
    waiting = look(window_of("v2", 12), theirs)
    assert waiting is not None
    assert waiting.action is Action.WAIT
    assert "12 answers by v2 (40 needed)" in waiting.verdict.reasons[0]
    full = window_of("v2", 40)
    assert look(full, theirs) is None
    decision = judge("canary-10", full, theirs, DEMO)
    assert decision.action is Action.GO
    assert decision.verdict.passed
    assert decision.verdict.to_json()


def test_a_dead_canary_returns_at_its_limit(window_of: WindowOf) -> None:
    """A stage that does not reach its requests in time returns; a second earlier it waits."""
    ours, theirs = window_of("v2", 0), window_of("v1", 360)
    before, after = look(ours, theirs, after_s=59), look(ours, theirs, after_s=60)
    assert before is not None
    assert before.action is Action.WAIT
    assert after is not None
    assert after.action is Action.BACK
    assert "0 answers by v2 (40 needed)" in after.verdict.reasons[0]


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.TIMEOUT, Outcome.NOT_A_NUMBER, Outcome.OUT_OF_RANGE])
def test_a_failing_canary_returns_at_once(window_of: WindowOf, outcome: Outcome) -> None:
    """Five faults in eight answers are sure, long before the stage is full."""
    decision = look(window_of("v2", 8, faults=5, fault=outcome), window_of("v1", 100))
    assert decision is not None
    assert decision.action is Action.BACK
    assert f"5 {outcome}" in decision.verdict.reasons[0]


def test_a_single_fault_is_noise(window_of: WindowOf) -> None:
    """One fault in forty neither returns early nor at the end; four do at the end."""
    theirs = window_of("v1", 360)
    one = window_of("v2", 40, faults=1)
    assert look(one, theirs) is None
    assert judge("canary-10", one, theirs, DEMO).action is Action.GO
    assert judge("canary-10", window_of("v2", 40, faults=4), theirs, DEMO).action is Action.BACK


def test_faults_of_both_are_not_the_canarys(window_of: WindowOf) -> None:
    """Where the stable fails as often, the canary is not blamed."""
    ours, theirs = window_of("v2", 40, faults=4), window_of("v1", 360, faults=36)
    assert look(ours, theirs) is None
    assert judge("canary-10", ours, theirs, DEMO).action is Action.GO


def test_a_slow_canary_returns(window_of: WindowOf) -> None:
    """Far over the stable's p95 it returns after few answers; a little slower is allowed."""
    theirs = window_of("v1", 360)
    decision = look(window_of("v2", 8, latency_ms=900), theirs)
    assert decision is not None
    assert decision.action is Action.BACK
    assert "took over" in decision.verdict.reasons[0]
    a_little = window_of("v2", 40, latency_ms=40)
    assert look(a_little, theirs) is None
    assert judge("canary-10", a_little, theirs, DEMO).action is Action.GO


def test_drift_of_the_candidate_returns_it_and_drift_of_the_input_does_not(window_of: WindowOf) -> None:
    """Blamed columns return the candidate; an input shift alarms, whatever replays and readers then say."""
    ours, theirs = window_of("v2", 40), window_of("v1", 360)
    own = judge("canary-10", ours, theirs, DEMO, drift=DriftReport((), ("Edema",), ()))
    assert own.action is Action.BACK
    assert "Edema" in own.verdict.reasons[0]
    shifted = DriftReport((), (), ("mean",))
    upset = Replay(images=40, flags_differ=40)
    decision = judge(
        "canary-10", ours, theirs, DEMO, drift=shifted, replay=upset, answers=(Answers(0, 50), Answers(50, 0))
    )
    assert decision.action is Action.ALARM
    assert "for v1 as for v2" in decision.verdict.reasons[0]


def test_a_failing_canary_returns_even_while_the_input_has_shifted(window_of: WindowOf) -> None:
    """Errors are compared with the stable on the same input: a shift excuses none of them."""
    ours, theirs = window_of("v2", 40, faults=10), window_of("v1", 360)
    decision = judge("canary-10", ours, theirs, DEMO, drift=DriftReport((), (), ("mean",)))
    assert decision.action is Action.BACK


def test_shadow_replays_return_a_candidate_that_answers_otherwise(window_of: WindowOf) -> None:
    """More disagreement than allowed, or failures where the stable answers, return it; a little does not."""
    ours, theirs = window_of("v2", 40), window_of("v1", 360)

    def action(replay: Replay) -> Action:
        return judge("canary-10", ours, theirs, DEMO, replay=replay).action

    assert action(Replay(images=40, flags_differ=12)) is Action.GO
    assert action(Replay(images=40, flags_differ=35)) is Action.BACK
    assert action(Replay(images=30, candidate_failed=10)) is Action.BACK
    assert action(Replay(images=0, stable_failed=40)) is Action.GO


def test_readers_return_a_candidate_they_deny(window_of: WindowOf) -> None:
    """Enough denied flags return it; a few answers are only shown."""
    ours, theirs = window_of("v2", 40), window_of("v1", 360)

    def action(candidate: Answers, stable: Answers) -> Action:
        return judge("canary-10", ours, theirs, DEMO, answers=(candidate, stable)).action

    assert action(Answers(18, 4), Answers(80, 20)) is Action.GO
    assert action(Answers(2, 28), Answers(80, 20)) is Action.BACK
    assert action(Answers(0, 5), Answers(80, 20)) is Action.GO
