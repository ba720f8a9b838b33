"""How long studies waited for a signature, counted from the tables. A wait is no outcome: nothing else is claimed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.studies import StudyState, Tier
from chexpert.triage.tables import LabelEventRow, PredictionRow, Study

__all__ = ["WINDOW", "Activity", "Labels", "Wait", "activity", "quantile"]

WINDOW: Final = timedelta(hours=24)
_P95: Final = 0.95


@dataclass(frozen=True, slots=True)
class Wait:
    """From arrival to signature, of the studies of one tier, flagged or not."""

    tier: Tier
    """What was ordered: by it, not by where the flag put a study, are waits compared."""
    flagged: bool
    studies: int
    median: timedelta | None
    """None: none was signed."""
    p95: timedelta | None


@dataclass(frozen=True, slots=True)
class Labels:
    """What readers said of one observation when they signed, each study once."""

    observation: str
    present: int
    absent: int
    uncertain: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened within a window."""

    since: datetime
    waits: tuple[Wait, ...]
    arrived: int
    answered: int
    """Of these the model answered for."""
    flagged: int
    """Of these it flagged."""
    signed: int
    rejected: int
    unread: int
    """Those that wait now, whenever they came."""
    versions: tuple[tuple[str, int], ...]
    """Images answered by each model version."""
    labels: tuple[Labels, ...]


def activity(session: Session, now: datetime, window: timedelta = WINDOW) -> Activity:
    """Counts and waits of the `window` before `now`."""
    since = now - window
    closed = session.execute(
        select(Study.ordered_tier, Study.flagged, Study.arrived, Study.closed, Study.state).where(Study.closed > since),
    ).all()
    waits: dict[tuple[int, bool], list[timedelta]] = {}
    for tier, flagged, arrived, ended, state in closed:
        if state == StudyState.SIGNED and ended is not None:
            waits.setdefault((tier, flagged), []).append(ended - arrived)
    came = select(func.count()).select_from(Study).where(Study.arrived > since)
    arrived, answered, marked, unread = session.execute(
        select(
            came.scalar_subquery(),
            came.where(Study.priority.is_not(None)).scalar_subquery(),
            came.where(Study.flagged).scalar_subquery(),
            select(func.count()).select_from(Study).where(Study.waiting).scalar_subquery(),
        ),
    ).one()
    return Activity(
        since=since,
        waits=tuple(_wait(tier, flagged, waits) for tier in Tier for flagged in (True, False)),
        arrived=arrived,
        answered=answered,
        flagged=marked,
        signed=sum(one.state == StudyState.SIGNED for one in closed),
        rejected=sum(one.state == StudyState.REJECTED for one in closed),
        unread=unread,
        versions=_versions(session, since),
        labels=_labels(session, since),
    )


def quantile(waits: Sequence[timedelta], share: float) -> timedelta | None:
    """The shortest wait that at least `share` of them do not exceed; None of none. No value is made up between two."""
    return sorted(waits)[max(0, ceil(share * len(waits)) - 1)] if waits else None


def _wait(tier: Tier, flagged: bool, waits: dict[tuple[int, bool], list[timedelta]]) -> Wait:
    found = waits.get((int(tier), flagged), [])
    return Wait(tier, flagged, len(found), quantile(found, 0.5), quantile(found, _P95))


def _versions(session: Session, since: datetime) -> tuple[tuple[str, int], ...]:
    counted = (
        select(PredictionRow.version, func.count())
        .where(PredictionRow.time > since)
        .group_by(PredictionRow.version)
        .order_by(func.min(PredictionRow.id))
    )
    return tuple((version, count) for version, count in session.execute(counted))


def _labels(session: Session, since: datetime) -> tuple[Labels, ...]:
    counted = (
        select(LabelEventRow.observation, LabelEventRow.value, func.count(LabelEventRow.study.distinct()))
        .where(LabelEventRow.time > since, LabelEventRow.final)
        .group_by(LabelEventRow.observation, LabelEventRow.value)
    )
    found = {(observation, value): count for observation, value, count in session.execute(counted)}
    rows = (Labels(str(o), *(found.get((str(o), value), 0) for value in (1, 0, -1, None))) for o in OBSERVATIONS)
    return tuple(row for row in rows if row.present + row.absent + row.uncertain + row.skipped)
