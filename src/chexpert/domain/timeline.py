"""Timeline: what the rollout driver did, one immutable JSON object per event. The rollout page reads only this."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

__all__ = ["ROLLOUTS_PREFIX", "Stage", "TimelineEvent"]

ROLLOUTS_PREFIX: Final = "rollouts"
"""Folder under the objects root: rollouts/<environment>/<number, 8 digits>.json."""


class Stage(StrEnum):
    """What happened."""

    PROPOSED = "proposed"
    FIRST = "first"
    CANARY = "canary"
    """A new weight is in git: see `weights`."""
    WAITING = "waiting"
    SWAPPED = "swapped"
    RETURNED = "returned"
    DRIFT = "drift"
    """The input shifted for both versions: an alarm that blames nobody."""


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One step of a rollout."""

    time: datetime
    environment: str
    stage: Stage
    stable: str
    """Version name such as v12; empty: none."""
    canary: str
    weights: Mapping[str, int] = field(default_factory=dict)
    """Percent of traffic by version name."""
    reasons: tuple[str, ...] = ()
    verdict_uri: str = ""
    report_uri: str = ""
    commit: str = ""
    pull_request: str = ""

    def to_json(self) -> str:
        """Indented JSON; the time in ISO 8601 with its zone."""
        return json.dumps({**asdict(self), "time": self.time.isoformat()}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`."""
        fields = json.loads(text)
        fields["time"] = datetime.fromisoformat(fields["time"])
        return cls(**{**fields, "stage": Stage(fields["stage"]), "reasons": tuple(fields["reasons"])})
