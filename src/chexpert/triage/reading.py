"""What readers do with a study: open, answer, sign, reject. Everything they say is appended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
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


def get_study(session: Session, study_id: str) -> Study:
    """The study, or UnknownStudy."""
    study = session.get(Study, study_id)
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
) -> Study:
    """The reader sees an image (all, if none is named) and has the study. A closed one can be seen, not had.

    Raises:
        StudyLocked: another reader has it, and `take_over` is off.
    """
    study = get_study(session, study_id)
    seen = [one for one in study.images if not image or one.sha256 == image]
    if not seen:
        raise UnknownImage(study_id, image)
    if study.waiting and study.reader != reader.name:
        if study.reader and not take_over:
            raise StudyLocked(study_id, study.reader)
        what = f"taken over from {study.reader}" if study.reader else "opened"
        session.add(StudyEvent(study=study_id, time=now, who=reader.name, what=what))
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


def _answers(session: Session, study_id: str) -> Sequence[AnswerRow]:
    return session.scalars(select(AnswerRow).where(AnswerRow.study == study_id).order_by(AnswerRow.id)).all()


def _held_by(session: Session, study_id: str, reader: Reader) -> Study:
    study = get_study(session, study_id)
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
