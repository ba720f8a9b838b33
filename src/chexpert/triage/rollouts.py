"""Timeline objects as the rollout page shows them. Events are immutable: each is read once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import fsspec

from chexpert.domain.timeline import ROLLOUTS_PREFIX, Stage, TimelineEvent
from chexpert.triage.clock import Clock

__all__ = ["Standing", "Timelines", "standing"]

_LOG: Final = logging.getLogger(__name__)
_FRESH: Final = timedelta(seconds=2)
"""The folder is listed at most this often, however many pages are read."""
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """What serves now, as far as the timeline tells."""

    stable: str
    canary: str
    weights: Mapping[str, int]
    stage: Stage


def standing(events: Sequence[TimelineEvent]) -> Standing | None:
    """From events, oldest first; None before the first promotion. A drift alarm or a wait changes nothing served."""
    for event in reversed(events):
        if event.stage in {Stage.FIRST, Stage.SWAPPED, Stage.RETURNED}:
            return Standing(event.stable, "", event.weights or {event.stable: 100}, event.stage)
        if event.stage is Stage.CANARY:
            return Standing(event.stable, event.canary, event.weights, event.stage)
    return None


class Timelines:
    """Reads rollouts/<environment>/*.json."""

    def __init__(self, objects: str, clock: Clock) -> None:
        self._root = objects.rstrip("/")
        self._clock = clock
        self._events: dict[str, TimelineEvent] = {}
        self._lists: dict[str, tuple[datetime, list[str]]] = {}

    def events(self, environment: str) -> list[TimelineEvent]:
        """The newest hundred, oldest first; none if there is no timeline. Files that are no events are left out."""
        names = self._names(environment)[-_SHOWN:]
        for name in names:
            if name not in self._events and (event := self._read(name)) is not None:
                self._events[name] = event
        return [self._events[name] for name in names if name in self._events]

    def _names(self, environment: str) -> list[str]:
        listed, names = self._lists.get(environment, (None, []))
        now = self._clock()
        if listed is None or now - listed >= _FRESH:
            files, folder = fsspec.core.url_to_fs(f"{self._root}/{ROLLOUTS_PREFIX}/{environment}")
            try:
                names = sorted(str(path) for path in files.ls(folder, detail=False) if str(path).endswith(".json"))
            except FileNotFoundError:
                names = []
            except OSError as error:  # the objects are away: pages go on with what was known
                _LOG.warning("the timeline of %s cannot be listed: %s", environment, error)
            self._lists[environment] = (now, names)
        return names

    def _read(self, path: str) -> TimelineEvent | None:
        files, _ = fsspec.core.url_to_fs(self._root)
        try:
            return TimelineEvent.from_json(files.cat_file(path).decode())
        except (OSError, ValueError, TypeError, LookupError):
            return None
