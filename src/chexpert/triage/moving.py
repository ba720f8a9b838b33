"""A person moves a study up the list, or takes their own move back. Nobody moves it below its order's tier."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from chexpert.domain.studies import Tier
from chexpert.domain.triage import TriageRule
from chexpert.triage.errors import LoweredPriority, NotAllowed, StudyClosed
from chexpert.triage.ranking import apply_rule
from chexpert.triage.reading import Reader, get_study
from chexpert.triage.tables import Move, Study, StudyEvent

__all__ = ["move"]

_REASON_CHARS_MAX: Final = 200


def move(
    session: Session,
    study_id: str,
    reader: Reader,
    tier: Tier,
    reason: str,
    *,
    rule: TriageRule,
    now: datetime,
) -> Study:
    """Let the study stand at `tier` as if it had been ordered so, and keep who wanted it and why.

    Raises:
        StudyClosed: it was signed or rejected.
        LoweredPriority: `tier` is less urgent than the order.
        NotAllowed: no reason, no change, or it would take back what another reader wanted.
    """
    said = reason.strip()
    if not said or len(said) > _REASON_CHARS_MAX or not said.isprintable():
        what = f"study {study_id} is moved only with a reason of at most {_REASON_CHARS_MAX} printable characters"
        raise NotAllowed(what="reason", reason=f"{what}: say one")
    study = get_study(session, study_id, lock=True)
    if not study.waiting:
        raise StudyClosed(study_id, study.state, study.reader)
    if tier > study.ordered_tier:
        raise LoweredPriority(study_id, Tier(study.ordered_tier).name, tier.name)
    if tier == study.tier:
        raise NotAllowed(what="tier", reason=f"study {study_id} stands at {tier.name} already")
    rows = session.scalars(select(Move).where(Move.study == study_id).order_by(Move.id)).all()
    wanted = Move(study=study_id, reader=reader.name, role=reader.role, tier=int(tier), reason=said, time=now)
    holding = _holding([*rows, wanted], Tier(study.ordered_tier))
    if holding is not None and holding.tier < tier:
        who = holding.reader
        raise NotAllowed(what="tier", reason=f"{who} moved study {study_id} up, and only {who} takes that back")
    session.add(wanted)
    session.add(StudyEvent(study=study_id, time=now, who=reader.name, what=f"moved to {tier.name}", detail=said))
    study.tier = int(tier)
    study.moved_by, study.moved_reason = (holding.reader, holding.reason) if holding else ("", "")
    apply_rule(study, rule)
    return study


def _holding(rows: Sequence[Move], ordered: Tier) -> Move | None:
    """The move in force: the most urgent of each reader's last one, the earliest of equals; None: none is above."""
    last = {row.reader: row for row in rows}
    above = [row for row in rows if last[row.reader] is row and row.tier < ordered]
    return min(above, key=lambda row: row.tier, default=None)
