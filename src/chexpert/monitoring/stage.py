"""The gate of one canary stage: on, wait, or back. Pure: windows and evidence in, decision out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np

from chexpert.domain.digests import of_value
from chexpert.domain.records import Outcome
from chexpert.domain.verdicts import Verdict
from chexpert.monitoring import evidence
from chexpert.monitoring.answers import Answers
from chexpert.monitoring.drift import DriftReport
from chexpert.monitoring.replay import Replay
from chexpert.monitoring.sequential import binomial_tail, evidence_above, fisher_greater
from chexpert.monitoring.thresholds import StageThresholds
from chexpert.monitoring.window import Window

__all__ = ["Action", "Decision", "early", "judge"]

_P95: Final = 0.05
"""Share of requests that may be slower than the 95th percentile."""


class Action(StrEnum):
    """What to do with the rollout."""

    GO = "go"
    WAIT = "wait"
    BACK = "back"
    ALARM = "alarm"
    """The input has shifted: tell, wait, blame nobody."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An action and the verdict it stands on."""

    action: Action
    verdict: Verdict


def early(
    gate: str,
    candidate: Window,
    stable: Window,
    thresholds: StageThresholds,
    *,
    started: datetime,
    now: datetime,
    unrouted: Sequence[str] = (),
) -> Decision | None:
    """What counts alone decide, at any time: back, wait, or None when the stage is due for `judge`.

    Args:
        gate: Name of the verdict's gate, such as canary-10.
        candidate: The canary's window since the stage began.
        stable: The stable's of the same time; where it gets no traffic any more, of the stages before.
        thresholds: What is demanded.
        started: When the stage began.
        now: The present.
        unrouted: Why the gateway does not give the stage's weight; empty: it does. Such a stage is not due, however
            many answers there are, and its time limit runs all the same.
    """
    case = _Case(gate, candidate, stable, thresholds)
    failures = case.sure_failures()
    late = now - started >= thresholds.limit
    if unrouted:
        if not failures and late:
            failures += [f"not routed within {thresholds.limit}: {unrouted[0]}", *unrouted[1:]]
        if failures:
            return Decision(Action.BACK, case.verdict(failures))
        return Decision(Action.WAIT, case.verdict([f"waiting: {unrouted[0]}", *unrouted[1:]]))
    short = candidate.requests < thresholds.min_requests or stable.requests < thresholds.min_stable
    if not failures and short and late:
        failures.append(f"{case.progress} within {thresholds.limit}: a canary that is not used returns")
    if failures:
        return Decision(Action.BACK, case.verdict(failures))
    if short:
        return Decision(Action.WAIT, case.verdict([f"waiting: {case.progress}"]))
    return None


def judge(
    gate: str,
    candidate: Window,
    stable: Window,
    thresholds: StageThresholds,
    *,
    drift: DriftReport | None = None,
    replay: Replay | None = None,
    answers: tuple[Answers, Answers] | None = None,
) -> Decision:
    """Judge a stage whose requests are full: go, back, or alarm.

    Args:
        gate: Name of the verdict's gate.
        candidate: The canary's window.
        stable: The stable's.
        thresholds: What is demanded.
        drift: What `drift.compare` found; None: not looked at.
        replay: What both said of the same images; None: not done.
        answers: What readers said of the canary's flags and of the stable's; None: not looked at.
    """
    case = _Case(gate, candidate, stable, thresholds)
    seen = [*evidence.drift_rows(drift), *evidence.replay_rows(replay), *evidence.answer_rows(answers)]
    shifted = drift.input_shifted if drift else ()
    failures = case.service_failures()
    if shifted and not failures:
        versions = f"{stable.version} as for {candidate.version}"
        reason = f"the input has shifted in {', '.join(shifted)}, for {versions}: waiting"
        return Decision(Action.ALARM, case.verdict([reason], seen=seen))
    if not shifted:
        # These depend on the images: nobody is blamed for them while the input itself has shifted.
        failures += _drift_failures(drift, candidate.version)
        failures += _replay_failures(replay, thresholds)
        failures += _answer_failures(answers, thresholds)
    return Decision(Action.BACK if failures else Action.GO, case.verdict(failures, seen=seen))


@dataclass(frozen=True, slots=True)
class _Case:
    gate: str
    candidate: Window
    stable: Window
    thresholds: StageThresholds

    def sure_failures(self) -> list[str]:
        """Failures that further answers will not undo: each test stays honest however often it is asked."""
        if self.thresholds.early_alpha <= 0.0:
            return []
        ours, sure, failures = self.candidate, 1.0 / self.thresholds.early_alpha, []
        allowed = min(0.99, _rate(self.stable) + self.thresholds.max_fault_difference)
        if evidence_above(ours.faults, ours.requests, allowed) >= sure:
            failures.append(self.faults)
        slow, limit_ms = self.slow()
        if evidence_above(slow, ours.latencies_ms.size, _P95) >= sure:
            failures.append(self.latency(slow, limit_ms))
        return failures

    def service_failures(self) -> list[str]:
        """Failures of a full stage, by exact tests made once."""
        ours, theirs, limits, failures = self.candidate, self.stable, self.thresholds, []
        difference = _rate(ours) - _rate(theirs)
        chance = fisher_greater(ours.faults, ours.requests, theirs.faults, theirs.requests)
        if difference > limits.max_fault_difference and chance < limits.p:
            failures.append(self.faults)
        slow, limit_ms = self.slow()
        if binomial_tail(slow, ours.latencies_ms.size, _P95) < limits.p:
            failures.append(self.latency(slow, limit_ms))
        return failures

    def slow(self) -> tuple[int, float]:
        """How many of the canary's latencies lie over the limit, and the limit in ms."""
        if self.stable.latencies_ms.size < self.thresholds.min_stable:
            return 0, float("inf")
        p95 = float(np.percentile(self.stable.latencies_ms, 95))
        limit_ms = p95 * self.thresholds.latency_ratio + self.thresholds.latency_slack_ms
        return int(np.sum(self.candidate.latencies_ms > limit_ms)), limit_ms

    def latency(self, slow: int, limit_ms: float) -> str:
        """The slow canary in words."""
        return (
            f"{slow} of {self.candidate.latencies_ms.size} answers took over {limit_ms:.0f} ms, "
            "the limit for the 95th percentile"
        )

    @property
    def faults(self) -> str:
        """The failing canary in words."""
        ours, theirs = self.candidate, self.stable
        kinds = ", ".join(f"{n} {outcome}" for outcome, n in ours.outcomes.items() if outcome is not Outcome.OK)
        return (
            f"{ours.faults} of {ours.requests} requests failed ({kinds}), "
            f"of the stable's {theirs.faults} of {theirs.requests}"
        )

    @property
    def progress(self) -> str:
        """How full the stage is."""
        ours, theirs, limits = self.candidate, self.stable, self.thresholds
        return (
            f"{ours.requests} answers by {ours.version} ({limits.min_requests} needed), "
            f"{theirs.requests} by {theirs.version} ({limits.min_stable} needed)"
        )

    def verdict(self, failures: list[str], *, seen: Sequence[Mapping[str, Any]] = ()) -> Verdict:
        """The verdict on `failures`, with what was seen beside the counts."""
        thresholds = asdict(self.thresholds)
        rows = [evidence.counts(self.candidate), evidence.counts(self.stable), *seen]
        return Verdict.judge(
            self.gate,
            self.candidate.version,
            failures,
            otherwise=f"{self.candidate.version} holds against {self.stable.version}: {self.progress}",
            evidence=rows,
            thresholds={k: str(v) if isinstance(v, timedelta) else v for k, v in thresholds.items()},
            inputs_digest=of_value([dict(row) for row in rows]),
        )


def _drift_failures(drift: DriftReport | None, version: str) -> list[str]:
    if drift is None or not drift.blamed:
        return []
    return [f"scores of {version} drift from the stable's on the same input: {', '.join(drift.blamed)}"]


def _replay_failures(replay: Replay | None, thresholds: StageThresholds) -> list[str]:
    if replay is None:
        return []
    failures = []
    tried = replay.images + replay.candidate_failed
    if binomial_tail(replay.candidate_failed, tried, thresholds.max_fault_difference) < thresholds.p:
        failures.append(f"{replay.candidate_failed} of {tried} shadow replays failed where the stable answered")
    allowed = thresholds.max_flag_disagreement
    if binomial_tail(replay.flags_differ, replay.images, allowed) < thresholds.p:
        failures.append(
            f"one flags and the other does not on {replay.flags_differ} of {replay.images} replays, over {allowed:.0%}"
        )
    return failures


def _answer_failures(answers: tuple[Answers, Answers] | None, thresholds: StageThresholds) -> list[str]:
    if answers is None or min(answers[0].total, answers[1].total) < thresholds.min_answers:
        return []
    ours, theirs = answers
    loss = theirs.confirmed / theirs.total - ours.confirmed / ours.total
    chance = fisher_greater(ours.denied, ours.total, theirs.denied, theirs.total)
    if loss <= thresholds.max_agreement_loss or chance >= thresholds.p:
        return []
    counts = f"{ours.confirmed} of {ours.total}, the stable's {theirs.confirmed} of {theirs.total}"
    return [f"readers confirm fewer of its flags: {counts}"]


def _rate(window: Window) -> float:
    return window.faults / window.requests if window.requests else 0.0
