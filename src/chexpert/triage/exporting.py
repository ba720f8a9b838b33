"""Label events of signed studies, to Parquet parts under feedback/, each exactly once.

A part's name and rows are fixed in one transaction, then it is written, then it is marked. A kill between the last two
writes the same part again, under the same name.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from chexpert.data import label_events as parts
from chexpert.domain.events import FEEDBACK_PREFIX, LabelEvent
from chexpert.domain.observations import Observation
from chexpert.triage.database import Database
from chexpert.triage.tables import AnswerRow, ImageRow, LabelEventRow, Opening, Study

__all__ = ["export", "label_events"]

_OPEN: Final = select(LabelEventRow).where(~LabelEventRow.exported).order_by(LabelEventRow.id)


def label_events(
    study: Study,
    images: Sequence[ImageRow],
    answers: Sequence[AnswerRow],
    openings: Sequence[Opening],
    now: datetime,
) -> list[LabelEventRow]:
    """One event per answer and image, in the order they were given; the last of an observation is final.

    `opened` and `version` are those of the reader's last opening of that image before the answer. The id sorts by time
    of signing, then by order, and is unique over sites.
    """
    final = {answer.observation: answer.id for answer in answers}
    numbers = count()
    stamp = int(now.timestamp() * 1000)
    rows = []
    for answer in answers:
        for image in images:
            seen = [o for o in openings if o.image == image.id and o.reader == answer.reader and o.time <= answer.time]
            rows.append(
                LabelEventRow(
                    event=f"{stamp:013d}{next(numbers):05d}{secrets.token_hex(6)}",
                    time=answer.time,
                    study=study.id,
                    image_sha256=image.sha256,
                    image_uri=image.uri,
                    patient=study.patient or image.sha256,
                    observation=answer.observation,
                    value=answer.value,
                    reader=answer.reader,
                    role=answer.role,
                    opened=seen[-1].time if seen else None,
                    final=final[answer.observation] == answer.id,
                    version=seen[-1].version if seen else "",
                ),
            )
    return rows


def export(database: Database, objects: str, rows_max: int) -> int:
    """Write what has not been exported; number of events written."""
    _assign(database, rows_max)
    with database.read() as session:
        rows = _unexported(session)
        names = list(dict.fromkeys(row.part for row in rows if row.part))
        batches = {name: [_event(row) for row in rows if row.part == name] for name in names}
    for name, events in batches.items():
        parts.write(events, f"{objects.rstrip('/')}/{FEEDBACK_PREFIX}")
        with database.write() as session:
            session.execute(update(LabelEventRow).where(LabelEventRow.part == name).values(exported=True))
    return sum(map(len, batches.values()))


def _unexported(session: Session) -> Sequence[LabelEventRow]:
    return session.scalars(_OPEN).all()


def _assign(database: Database, rows_max: int) -> None:
    with database.read() as session:
        if all(row.part for row in _unexported(session)):
            return
    with database.write() as session:
        # Locked: of two workers that assign at once, the second finds the parts of the first.
        rows = [row for row in session.scalars(_OPEN.with_for_update()) if not row.part][:rows_max]
        for row in rows:
            row.part = f"{rows[0].event}-{rows[-1].event}"


def _event(row: LabelEventRow) -> LabelEvent:
    return LabelEvent(
        event=row.event,
        time=row.time,
        study=row.study,
        image_sha256=row.image_sha256,
        image_uri=row.image_uri,
        patient=row.patient,
        observation=Observation(row.observation),
        value=row.value,
        reader=row.reader,
        role=row.role,
        opened=row.opened,
        final=row.final,
        version=row.version,
    )
