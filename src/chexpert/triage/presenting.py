"""Rows of the worklist in a reader's words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from chexpert.domain.studies import StudyState, Tier
from chexpert.domain.triage import TriageRule
from chexpert.triage.forms import TIER_WORDS
from chexpert.triage.ranking import entry_of
from chexpert.triage.tables import Study

__all__ = ["Row", "probability", "row", "short_wait", "wait_words", "why"]

_NEAR: Final = 0.75
"""From this part of its cap on, a wait is marked as near it."""

_TIER_KINDS: Final[Mapping[Tier, str]] = {Tier.STAT: "stat", Tier.URGENT: "urgent", Tier.ROUTINE: "routine"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line."""

    study: Study
    tier: str
    tier_kind: str
    raised_to: str
    """Tier its flag or a reader raised it to; empty: none."""
    raised_by: str
    """'its flag', or the reader's name."""
    flag: str
    """Such as 'Pneumothorax .93'; empty: not flagged."""
    analysis: str
    """Why there is no flag: 'waiting for the model', 'not analysed: …', 'not flagged'."""
    patient: str
    wait: str
    wait_percent: int | None
    """Of the cap; None: no cap."""
    wait_kind: str
    why: str
    state: str


def row(study: Study, rule: TriageRule, now: datetime, reader: str) -> Row:
    """A line as `reader` sees it."""
    tier, raised = Tier(study.ordered_tier), Tier(study.raised_tier)
    cap = rule.caps.get(raised)
    share = (now - study.arrived) / cap if cap and study.waiting else None
    wait_kind = "" if share is None or share < _NEAR else "near" if share < 1.0 else "over"
    return Row(
        study=study,
        tier=TIER_WORDS[tier],
        tier_kind=_TIER_KINDS[tier],
        raised_to=TIER_WORDS[raised] if raised < tier else "",
        raised_by=study.moved_by if study.moved_by and study.tier == study.raised_tier else "its flag",
        flag=f"{study.flag} {probability(study.flag_score)}".strip() if study.flag else "",
        analysis=_analysis(study),
        patient=patient_words(study),
        wait=wait_words((now if study.waiting else study.closed or now) - study.arrived),
        wait_percent=None if share is None else max(1, min(100, round(100 * share))),
        wait_kind=wait_kind,
        why=why(study, rule, now) if study.waiting else study.reason,
        state=_state(study, reader),
    )


def why(study: Study, rule: TriageRule, now: datetime) -> str:
    """Why the study stands where it does: a reader's move and its reason, and the rule."""
    said = rule.why(entry_of(study), now)
    if not study.moved_by:
        return said
    word = TIER_WORDS[Tier(study.tier)]
    return f"moved to {word} by {study.moved_by}: {study.moved_reason} · {said.removeprefix(f'ordered {word}, ')}"


def patient_words(study: Study) -> str:
    """Such as 'F 67'."""
    sex = {"female": "F", "male": "M"}.get(study.sex.lower(), study.sex)
    return " ".join(part for part in (sex, "" if study.age is None else str(study.age)) if part)


def wait_words(wait: timedelta) -> str:
    """Minutes, then hours and minutes, then days and hours."""
    minutes = max(0, int(wait.total_seconds() // 60))
    hours, days = minutes // 60, minutes // (24 * 60)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60:02d}" if hours else f"{minutes} min"


def short_wait(wait: timedelta) -> str:
    """As `wait_words`, but seconds below a minute: a mean of the day may be that short."""
    seconds = wait.total_seconds()
    return f"{seconds:.1f} s" if seconds < 60.0 else wait_words(wait)  # noqa: PLR2004  a minute


def probability(value: float | None) -> str:
    """Two digits without the zero, as readers are used to; never rounded to a certainty. Empty for None."""
    return "" if value is None else f"{min(max(value, 0.0), 0.99):.2f}"[1:]


def _analysis(study: Study) -> str:
    if study.refusal and study.priority is None:
        return f"not analysed: {study.refusal}"
    return "waiting for the model" if study.priority is None else "not flagged"


def _state(study: Study, reader: str) -> str:
    who = "you" if reader and study.reader == reader else study.reader
    return study.state if study.state == StudyState.UNREAD else f"{study.state} · {who}"
