"""The order of the worklist. The flag may only raise a study; nothing is ever left out.

Order: tier of the order, raised by a flag to urgent, or to STAT for a critical observation; within a tier first the
overdue (oldest first), then the flagged by priority, then arrival.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from chexpert.domain.observations import CRITICAL, Observation
from chexpert.domain.studies import Tier

__all__ = ["Entry", "TriageRule", "order"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the order depends on, of one study."""

    study: str
    tier: Tier
    arrived: datetime
    priority: float | None = None
    """Highest priority of its images, in [0, 1]; None until the model answered."""
    flag: Observation | None = None


@dataclass(frozen=True, slots=True)
class TriageRule:
    """A site's settings of the rule, and the rule."""

    critical: frozenset[Observation] = CRITICAL
    """What a flag raises to STAT."""
    caps: Mapping[Tier, timedelta | None] = field(
        default_factory=lambda: MappingProxyType(
            {Tier.STAT: None, Tier.URGENT: timedelta(hours=1), Tier.ROUTINE: timedelta(hours=2)},
        ),
    )
    """Wait after which a study counts as overdue in its raised tier; None switches the cap off.

    Keep a cap above the 95th percentile of the wait in order of arrival: a short one undoes the benefit
    (at load 0.8 a cap of 60 min took the flagged wait from 9 to 29 min).
    """

    def raised_tier(self, entry: Entry) -> Tier:
        """The order's tier, raised by the flag; never lowered."""
        if entry.flag is None:
            return entry.tier
        return min(entry.tier, Tier.STAT if entry.flag in self.critical else Tier.URGENT)

    def is_overdue(self, entry: Entry, now: datetime) -> bool:
        """Whether the study waited at least its raised tier's cap."""
        cap = self.caps.get(self.raised_tier(entry))
        return cap is not None and now - entry.arrived >= cap

    def key(self, entry: Entry, now: datetime) -> tuple[int, int, float, datetime, str]:
        """Sort key, smallest first."""
        tier = int(self.raised_tier(entry))
        if self.is_overdue(entry, now):
            return tier, 0, 0.0, entry.arrived, entry.study
        if entry.flag is not None:
            return tier, 1, -(entry.priority or 0.0), entry.arrived, entry.study
        return tier, 2, 0.0, entry.arrived, entry.study

    def why(self, entry: Entry, now: datetime) -> str:
        """In a reader's words, why the study stands where it does."""
        raised = self.raised_tier(entry)
        if self.is_overdue(entry, now):
            hours = (self.caps[raised] or timedelta()) / timedelta(hours=1)
            return f"past its {hours:g} h cap: first among {raised.name.lower()}"
        if entry.flag is None:
            ordered = "" if entry.tier is Tier.ROUTINE else f"ordered {_word(entry.tier)}, "
            return f"{ordered}arrival order"
        if raised < entry.tier:
            return f"flag raised it to {_word(raised)}"
        return f"ordered {_word(entry.tier)}, flagged"


def order(entries: Sequence[Entry], now: datetime, rule: TriageRule) -> list[Entry]:
    """All entries, most urgent first."""
    return sorted(entries, key=lambda entry: rule.key(entry, now))


def _word(tier: Tier) -> str:
    return "STAT" if tier is Tier.STAT else tier.name.lower()
