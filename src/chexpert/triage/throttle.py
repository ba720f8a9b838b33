"""How often a password may be tried: five times at once, then after pauses that double up to a minute."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from chexpert.triage.clock import Clock

__all__ = ["Throttle"]

_FREE: Final = 5
_PAUSE_MAX_S: Final = 60.0
_FORGOTTEN: Final = timedelta(minutes=15)


@dataclass(slots=True)
class _Tries:
    count: int
    last: datetime


class Throttle:
    """Counts tries by name and address, of the last `size` pairs seen."""

    def __init__(self, clock: Clock, size: int = 10_000) -> None:
        self._clock = clock
        self._size = size
        self._tries: OrderedDict[tuple[str, str], _Tries] = OrderedDict()

    def take(self, name: str, address: str) -> float:
        """Count a try; seconds to wait where it comes too early, and then it is none."""
        key, now = (name[:64], address), self._clock()
        tries = self._tries.get(key)
        if tries is None or now - tries.last > _FORGOTTEN:
            tries = self._tries[key] = _Tries(0, now)
        pause_s = min(2.0 ** (tries.count - _FREE), _PAUSE_MAX_S) if tries.count >= _FREE else 0.0
        wait_s = pause_s - (now - tries.last).total_seconds()
        if wait_s > 0:
            return wait_s
        tries.count, tries.last = min(tries.count + 1, 64), now
        self._tries.move_to_end(key)
        while len(self._tries) > self._size:
            self._tries.popitem(last=False)
        return 0.0

    def clear(self, name: str, address: str) -> None:
        """The password was right."""
        self._tries.pop((name[:64], address), None)
