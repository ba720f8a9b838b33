"""What readers do with a study: open, answer, sign, reject. Everything they say is appended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chexpert.domain.labels import ABSENT, PRESENT, UNCERTAIN, Label
from chexpert.domain.observations import Observation
from chexpert.domain.studies import StudyState
from chexpert.triage.errors import NotAllowed, StudyClosed, StudyLocked, UnknownImage, UnknownStudy
from chexpert.triage.exporting import label_events
from chexpert.triage.tables import AnswerRow, Opening, Study, StudyEvent

__all__ = ["WORDS", "Reader", "answer", "current_answers", "get_study", "open_study", "reject", "sign"]

WORDS: Final[Mapping[str, Label]] = {"present": PRESENT, "absent": ABSENT, "uncertain": UNCERTAIN, "skipped": None}
"""What a reader can say, and the label it is. 'Agree' is no label: what the model said may change."""

_NAME_CHARS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, as far as the site knows: a name on loopback, until authentication says it."""

    name: str
    role: str = "radiologist"

    def __post_init__(self) -> None:
        for what, value in (("reader", self.name), ("role", self.role)):
            if not value.strip() or len(value) > _NAME_CHARS_MAX or not value.isprintable():
                raise NotAllowed(
                    what, f"{value[:_NAME_CHARS_MAX]!r} is not a name of 1 to {_NAME_CHARS_MAX} characters"
                )


def get_study(session: Session, study_id: str, *, lock: bool = False) -> Study:
    """The study, or UnknownStudy. With `lock` nobody else changes it before this transaction ends."""
    study = session.get(Study, study_id, with_for_update=lock, populate_existing=lock)
    if study is None:
        raise UnknownStudy(study_id)
    return study


def open_study(
    session: Session,
    study_id: str,
    reader: Reader,
    now: datetime,
    *,
    image: str = "",
    take_over: bool = False,
    idle: timedelta | None = None,
) -> Study:
    """The reader sees an image (all, if none is named) and has the study. A closed one can be seen, not had.

    Raises:
        StudyLocked: another reader has it, `take_over` is off, and they did something with it less than `idle` ago.
    """
    study = get_study(session, study_id, lock=True)
    seen = [one for one in study.images if not image or one.sha256 == image]
    if not seen:
        raise UnknownImage(study_id, image)
    if study.waiting and study.reader != reader.name:
        left = _left_alone(session, study, now) if study.reader else None
        if left is not None and not take_over and (idle is None or left < idle):
            raise StudyLocked(study_id, study.reader)
        what = f"taken over from {study.reader}" if study.reader else "opened"
        alone = f"left alone for {left // timedelta(minutes=1)} min" if left is not None and not take_over else ""
        session.add(StudyEvent(study=study_id, time=now, who=reader.name, what=what, detail=alone))
        study.state, study.reader = StudyState.OPEN, reader.name
    for one in seen:
        session.add(Opening(study=study_id, image=one.id, reader=reader.name, time=now, version=study.version))
    return study


def answer(
    session: Session,
    study_id: str,
    reader: Reader,
    answers: Mapping[Observation, Label],
    now: datetime,
) -> Study:
    """Append what the reader says. Without an opened image it is kept, but is no training label.

    Raises:
        StudyLocked, StudyClosed: it is not the reader's to answer.
    """
    study = _held_by(session, study_id, reader)
    for observation, value in answers.items():
        session.add(
            AnswerRow(
                study=study_id,
                observation=str(observation),
                value=value,
                reader=reader.name,
                role=reader.role,
                time=now,
            ),
        )
    return study


def current_answers(session: Session, study_id: str) -> dict[str, AnswerRow]:
    """The last answer to each observation, by its name."""
    return {row.observation: row for row in _answers(session, study_id)}


def sign(session: Session, study_id: str, reader: Reader, now: datetime) -> Study:
    """Close the study with its answers, and turn them into label events in the same transaction.

    Raises:
        StudyLocked, StudyClosed: it is not the reader's to sign.
    """
    study = _held_by(session, study_id, reader)
    openings = session.scalars(select(Opening).where(Opening.study == study_id).order_by(Opening.id)).all()
    session.add_all(label_events(study, study.images, _answers(session, study_id), openings, now))
    _close(session, study, reader, now, state=StudyState.SIGNED)
    return study


def reject(session: Session, study_id: str, reader: Reader, reason: str, now: datetime) -> Study:
    """Take the study off the list, with a person's reason. Its answers are no labels.

    Raises:
        StudyLocked, StudyClosed: it is not the reader's to reject.
        NotAllowed: without a reason.
    """
    if not reason.strip():
        raise NotAllowed(what="reason", reason=f"study {study_id} is rejected only with a reason: say one")
    study = _held_by(session, study_id, reader)
    _close(session, study, reader, now, state=StudyState.REJECTED, reason=reason.strip()[:200])
    return study


def _left_alone(session: Session, study: Study, now: datetime) -> timedelta:
    """Time since its reader last opened an image of it or answered."""
    opened = select(func.max(Opening.time)).where(Opening.study == study.id, Opening.reader == study.reader)
    said = select(func.max(AnswerRow.time)).where(AnswerRow.study == study.id, AnswerRow.reader == study.reader)
    times = [time for one in (opened, said) if (time := session.scalar(one)) is not None]
    return now - max(times, default=study.arrived)


def _answers(session: Session, study_id: str) -> Sequence[AnswerRow]:
    return session.scalars(select(AnswerRow).where(AnswerRow.study == study_id).order_by(AnswerRow.id)).all()


def _held_by(session: Session, study_id: str, reader: Reader) -> Study:
    study = get_study(session, study_id, lock=True)
    if not study.waiting:
        raise StudyClosed(study_id, study.state, study.reader)
    if study.reader not in ("", reader.name):
        raise StudyLocked(study_id, study.reader)
    return study


def _close(
    session: Session,
    study: Study,
    reader: Reader,
    now: datetime,
    *,
    state: StudyState,
    reason: str = "",
) -> None:
    study.state, study.waiting, study.reader, study.closed, study.reason = state, False, reader.name, now, reason
    session.add(StudyEvent(study=study.id, time=now, who=reader.name, what=str(state), detail=reason))
