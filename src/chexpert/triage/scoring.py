"""Images the model has not answered for, and what becomes of its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chexpert.domain.errors import RetryableError
from chexpert.domain.observations import FLAGGABLE, OBSERVATIONS, Observation
from chexpert.domain.predictions import Prediction
from chexpert.domain.triage import TriageRule
from chexpert.serving.client import Answer
from chexpert.triage.ranking import derive
from chexpert.triage.tables import ImageRow, PredictionRow, Study

__all__ = ["NonsenseAnswer", "Pending", "check", "latest_predictions", "pending", "postpone", "refuse", "store"]


_VERSION_CHARS_MAX: Final = 200


class NonsenseAnswer(RetryableError):
    """The predictor answered what no model may say; nothing of it is shown."""

    def __init__(self, version: str, what: str) -> None:
        super().__init__(f"version {version or 'unknown'} answered {what}")
        self.version = version


@dataclass(frozen=True, slots=True)
class Pending:
    """An image that waits for the model."""

    image: int
    sha256: str
    attempts: int


def pending(session: Session, now: datetime, limit: int, *, exclude: Sequence[int] = ()) -> list[Pending]:
    """Images whose turn it is: those of the most urgent orders first, then by arrival."""
    found = session.execute(
        select(ImageRow.id, ImageRow.sha256, ImageRow.attempts)
        .join(Study, Study.id == ImageRow.study)
        .where(ImageRow.pending, ImageRow.next_try <= now, ImageRow.id.not_in(exclude))
        .order_by(Study.waiting.desc(), Study.tier, Study.arrived, ImageRow.id)
        .limit(limit),
    )
    return [Pending(image, sha256, attempts) for image, sha256, attempts in found]


def check(answer: Answer) -> Prediction:
    """The answer as the house understands it.

    Raises:
        NonsenseAnswer: scores or priority outside [0, 1] or no numbers, or a flag that is no finding.
    """
    if len(answer.scores) != len(OBSERVATIONS):
        raise NonsenseAnswer(answer.version, f"{len(answer.scores)} scores instead of {len(OBSERVATIONS)}")
    for value in (*answer.scores, answer.priority):
        if not isfinite(value) or not 0.0 <= value <= 1.0:
            raise NonsenseAnswer(answer.version, f"{value}, which is no probability")
    if len(answer.version) > _VERSION_CHARS_MAX:
        raise NonsenseAnswer(answer.version[:_VERSION_CHARS_MAX], f"a version of {len(answer.version)} characters")
    if answer.flag and answer.flag not in {str(o) for o in FLAGGABLE}:
        raise NonsenseAnswer(answer.version, f"the flag {answer.flag[:60]!r}, which is no finding")
    flag = Observation(answer.flag) if answer.flag else None
    return Prediction(answer.version, answer.scores, answer.priority, flag)


def store(
    session: Session,
    image_id: int,
    prediction: Prediction,
    rule: TriageRule,
    now: datetime,
    *,
    latency_ms: float,
) -> None:
    """Append the prediction and derive the study's place from all of its images."""
    image = session.get_one(ImageRow, image_id)
    # Two images of a study may be answered at once: the second derives from both.
    study = session.get_one(Study, image.study, with_for_update=True)
    image.pending, image.problem = False, ""
    session.add(
        PredictionRow(
            image=image_id,
            time=now,
            version=prediction.version,
            scores=list(prediction.scores),
            priority=prediction.priority,
            flag=str(prediction.flag or ""),
            latency_ms=latency_ms,
        ),
    )
    session.flush()
    derive(study, list(latest_predictions(session, image.study).values()), rule)


def refuse(session: Session, image_id: int, reason: str) -> None:
    """The predictor will not take this image: say so beside it, and do not ask again. The study stays listed."""
    image = session.get_one(ImageRow, image_id)
    image.pending, image.problem = False, reason[:500]
    image.study_row.refusal = reason[:200]


def postpone(session: Session, image_id: int, reason: str, wait: timedelta, now: datetime) -> None:
    """The predictor failed on this image; it is tried again after `wait`."""
    image = session.get_one(ImageRow, image_id)
    image.attempts += 1
    image.next_try = now + wait
    image.problem = reason[:500]


def latest_predictions(session: Session, study_id: str) -> dict[int, Prediction]:
    """Newest prediction of each image of a study, by image, oldest prediction first."""
    newest = (
        select(func.max(PredictionRow.id))
        .join(ImageRow, ImageRow.id == PredictionRow.image)
        .where(ImageRow.study == study_id)
        .group_by(PredictionRow.image)
    )
    rows = session.scalars(select(PredictionRow).where(PredictionRow.id.in_(newest)).order_by(PredictionRow.id))
    return {
        row.image: Prediction(
            row.version,
            tuple(row.scores),
            row.priority,
            Observation(row.flag) if row.flag else None,
        )
        for row in rows
    }
