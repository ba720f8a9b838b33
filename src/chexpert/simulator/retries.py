"""Trying again what the other side said it cannot do right now: bounded, with growing pauses."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from chexpert.domain.errors import RetryableError

__all__ = ["RetrySettings", "retrying"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How long to insist."""

    attempts: int = 8
    """Calls in all; 1 switches trying again off."""
    first_pause_s: float = 0.1
    """Pause after the first failure; doubles each time."""
    longest_pause_s: float = 5.0
    """With 8 attempts the pauses sum up to 11 s: longer than a server's restart."""


def retrying(call: Callable[[], T], settings: RetrySettings, *, sleep: Callable[[float], None] = time.sleep) -> T:
    """The call's answer; the last RetryableError once the attempts are used up. Other errors pass at once."""
    pause_s = settings.first_pause_s
    for _ in range(settings.attempts - 1):
        try:
            return call()
        except RetryableError:
            sleep(pause_s)
            pause_s = min(2.0 * pause_s, settings.longest_pause_s)
    return call()
