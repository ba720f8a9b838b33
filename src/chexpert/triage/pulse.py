"""What the worker did so far and when it last did anything: read by its probe and its metrics."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

__all__ = ["Outcome", "Pulse"]


class Outcome(StrEnum):
    """What became of an image that the predictor was asked for."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """For good: the predictor does not take this image."""
    FAILED = "failed"
    """It is tried again."""


@dataclass(slots=True)
class Pulse:
    """Beats of the worker's loops, and counts since it started. Threads may share it."""

    clock: Callable[[], float] = monotonic
    predictor_down: bool = False
    _outcomes: Counter[Outcome] = field(default_factory=Counter)
    _beats: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, loop: str) -> None:
        """A loop goes on."""
        with self._lock:
            self._beats[loop] = self.clock()

    def silent_s(self) -> float:
        """Seconds since the loop that is silent longest went on; 0 before the first did."""
        with self._lock:
            return self.clock() - min(self._beats.values()) if self._beats else 0.0

    def count(self, outcome: Outcome) -> None:
        """Of one image."""
        with self._lock:
            self._outcomes[outcome] += 1

    def outcomes(self) -> dict[Outcome, int]:
        """Images by what became of them."""
        with self._lock:
            return {outcome: self._outcomes[outcome] for outcome in Outcome}
