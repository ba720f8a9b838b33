"""What a candidate must hold in a canary stage."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

__all__ = ["StageThresholds"]


@dataclass(frozen=True, slots=True)
class StageThresholds:
    """What a candidate must hold to go on. The defaults are for production; `demo` needs minutes less."""

    min_requests: int = 2_000
    """Answers of the canary before a stage is judged."""
    min_stable: int = 100
    """Answers of the stable to compare with."""
    limit: timedelta = timedelta(hours=24)
    """A stage that does not reach its requests in this time returns: the rule for a dead canary."""
    max_fault_difference: float = 0.005
    """Share of faults (5xx, timeouts, NaN, out of range) that the canary may have above the stable's."""
    early_alpha: float = 0.001
    """Chance that a healthy canary is returned before its requests are full, over all looks; 0 waits for all."""
    p: float = 0.01
    """Chance that a healthy canary is returned at the end of a stage by one exact test."""
    latency_ratio: float = 1.5
    """The canary's p95 may be this many times the stable's, plus the slack."""
    latency_slack_ms: float = 20.0
    """So that a ratio of two tiny latencies does not decide."""
    max_flag_disagreement: float = 0.15
    """Share of shadow replays on which the two may flag differently; 1 switches it off."""
    min_answers: int = 100
    """Flags answered by readers, of each version, before their agreement counts; until then it is only shown."""
    max_agreement_loss: float = 0.1
    """Share of confirmed flags that the canary may lie below the stable."""

    @classmethod
    def demo(cls) -> Self:
        """Few requests in seconds, on a machine that does other work beside: wider where chance is wider."""
        return cls(
            min_requests=40,
            min_stable=40,
            limit=timedelta(seconds=60),
            max_fault_difference=0.02,
            latency_ratio=3.0,
            latency_slack_ms=250.0,
            max_flag_disagreement=0.5,
            min_answers=20,
            max_agreement_loss=0.3,
        )
