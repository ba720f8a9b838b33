"""The order of the worklist in SQL: at most nine index ranges, one per tier and reason, each cut at the page's length.

A tier's studies fall into three ranges that follow one another: the overdue by arrival, the flagged by priority, the
others by arrival. Each is read in the order of its index, so a page costs the same at 100 studies and at 100,000.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, tuple_, union_all
from sqlalchemy.orm import Session

from chexpert.domain.studies import Tier
from chexpert.domain.triage import TriageRule
from chexpert.triage.tables import Study

__all__ = ["CountKeeper", "Counts", "Listed", "Position", "Query", "Show", "count", "ranked", "signed"]


class Show(StrEnum):
    """Which studies a reader wants to see."""

    UNREAD = "unread"
    """All that wait: unread and open ones."""
    MINE = "mine"
    LATE = "late"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the next one starts behind it, judged at the same moment."""

    as_of: datetime
    segment: int
    rank: float
    arrived: datetime
    study: str

    def to_text(self) -> str:
        """For a link."""
        return "~".join(
            (self.as_of.isoformat(), str(self.segment), repr(self.rank), self.arrived.isoformat(), self.study),
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Inverse of `to_text`. ValueError for anything else."""
        as_of, segment, rank, arrived, study = text.split("~")
        return cls(datetime.fromisoformat(as_of), int(segment), float(rank), datetime.fromisoformat(arrived), study)


@dataclass(frozen=True, slots=True)
class Query:
    """One page of the worklist."""

    now: datetime
    limit: int
    after: Position | None = None
    show: Show = Show.UNREAD
    reader: str = ""
    search: str = ""
    """Part of an accession, start of a study id, or start of a flagged finding."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the worklist and where it stands."""

    study: Study
    position: Position


@dataclass(frozen=True, slots=True)
class Counts:
    """Of all studies that wait."""

    unread: int
    flagged: int
    late: int
    median_arrival: datetime | None


class CountKeeper:
    """Counts at most a second old: of 100,000 studies they cost twice what the page's rows do."""

    _FRESH = timedelta(seconds=1)

    def __init__(self, rule: TriageRule) -> None:
        self._rule = rule
        self._last: tuple[datetime, Counts] | None = None

    def count(self, session: Session, now: datetime) -> Counts:
        """Of all studies that wait."""
        last = self._last
        if last is None or not timedelta() <= now - last[0] < self._FRESH:
            last = self._last = (now, count(session, self._rule, now))
        return last[1]


_Range = Select[int, float, datetime, str]

_OVERDUE, _FLAGGED, _QUIET = range(3)


def ranked(session: Session, rule: TriageRule, query: Query) -> list[Listed]:
    """Studies that wait, most urgent first, as `domain.triage.order` would have them."""
    parts = [part for tier in Tier for part in _tier(rule, query, tier)]
    if not parts:
        return []
    union = union_all(*(select(part.subquery()) for part in parts)).subquery()
    order = (union.c.segment, union.c.rank, union.c.arrived, union.c.id)
    page = select(union).order_by(*order).limit(query.limit).subquery()
    found = session.execute(
        select(Study, page.c.segment, page.c.rank)
        .join(page, page.c.id == Study.id)
        .order_by(page.c.segment, page.c.rank, page.c.arrived, page.c.id),
    )
    return [
        Listed(study, Position(query.now, segment, rank, study.arrived, study.id)) for study, segment, rank in found
    ]


def signed(session: Session, query: Query) -> Sequence[Study]:
    """Studies that a person signed or rejected, newest first."""
    closed = select(Study).where(~Study.waiting, *_matching(query)).order_by(Study.closed.desc(), Study.id)
    return session.scalars(closed.limit(query.limit)).all()


def count(session: Session, rule: TriageRule, now: datetime) -> Counts:
    """Of all studies that wait."""
    waiting = select(func.count()).select_from(Study).where(Study.waiting)
    late = [
        waiting.where(Study.raised_tier == int(tier), Study.arrived <= now - cap)
        for tier in Tier
        if (cap := rule.caps.get(tier)) is not None
    ]
    unread, flagged, *lates = session.execute(
        select(*(one.scalar_subquery() for one in (waiting, waiting.where(Study.flagged), *late))),
    ).one()
    middle = select(Study.arrived).where(Study.waiting).order_by(Study.arrived).offset(unread // 2).limit(1)
    return Counts(unread, flagged, sum(lates), session.scalar(middle))


def _tier(rule: TriageRule, query: Query, tier: Tier) -> list[_Range]:
    cap = rule.caps.get(tier)
    parts = []
    if cap is not None:
        parts.append(_range(query, tier, _OVERDUE, Study.arrived <= query.now - cap))
    if query.show is not Show.LATE:
        fresh = () if cap is None else (Study.arrived > query.now - cap,)
        parts.append(_range(query, tier, _FLAGGED, and_(Study.flagged), *fresh))
        parts.append(_range(query, tier, _QUIET, ~Study.flagged, *fresh))
    return [part for part in parts if part is not None]


def _range(query: Query, tier: Tier, kind: int, *conditions: ColumnElement[bool]) -> _Range | None:
    """One of the nine, cut at the page's length; None where it lies wholly before the page."""
    segment = int(tier) * 3 + kind
    columns = (Study.rank, Study.arrived, Study.id) if kind == _FLAGGED else (Study.arrived, Study.id)
    where = [Study.waiting, Study.raised_tier == int(tier), *conditions, *_matching(query)]
    if query.show is Show.MINE:
        where.append(Study.reader == query.reader)
    after = query.after
    if after is not None and segment < after.segment:
        return None
    if after is not None and segment == after.segment:
        ended = (after.rank, after.arrived, after.study) if kind == _FLAGGED else (after.arrived, after.study)
        where.append(tuple_(*columns) > tuple_(*(literal(v, c.type) for v, c in zip(ended, columns, strict=True))))
    rank = Study.rank if kind == _FLAGGED else literal(0.0)
    selected = select(literal(segment).label("segment"), rank.label("rank"), Study.arrived, Study.id)
    return selected.where(and_(*where)).order_by(*columns).limit(query.limit)


def _matching(query: Query) -> list[ColumnElement[bool]]:
    text = query.search.strip()
    if not text:
        return []
    return [
        or_(
            Study.accession.icontains(text, autoescape=True),
            Study.id.startswith(text.lower(), autoescape=True),
            Study.flag.istartswith(text, autoescape=True),
        ),
    ]
