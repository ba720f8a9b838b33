"""The tables. Answers, moves, predictions, openings and label events are only ever appended."""

import re
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator, TypeEngine

from chexpert.domain.studies import StudyState, Tier

__all__ = [
    "AnswerRow",
    "Base",
    "ImageRow",
    "LabelEventRow",
    "Marks",
    "Move",
    "Opening",
    "PredictionRow",
    "Study",
    "StudyEvent",
]


_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def _where(name: str, columns: tuple[str, ...], **flags: bool) -> Index:
    """Index over the rows with these flags, in the words each database's planner recognises."""
    return Index(
        name,
        *columns,
        sqlite_where=text(" AND ".join(f"{flag} = {int(value)}" for flag, value in flags.items())),
        postgresql_where=text(" AND ".join(flag if value else f"NOT {flag}" for flag, value in flags.items())),
    )


class UtcDateTime(TypeDecorator[datetime]):
    """Time with zone in, UTC out; SQLite, which has no zones, holds UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; SQLite stores it without its zone."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give UTC its zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text as people, senders and files give it. What no database or encoding takes becomes U+FFFD."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  its signature
        """PostgreSQL refuses NUL, and no driver encodes half a surrogate pair."""
        return value if value is None or value.isprintable() else _UNSTORABLE.sub("\ufffd", value)


class Base(DeclarativeBase):
    """Common base: its metadata is what the migrations must lead to."""

    type_annotation_map: ClassVar[dict[Any, TypeEngine[Any] | type[TypeEngine[Any]]]] = {
        datetime: UtcDateTime,
        str: Words(200),
    }


class Study(Base):
    """One visit: the order, what the model made of it, and where it stands with its readers."""

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Digest of the order and its images: sending the same again finds the same row."""
    accession: Mapped[str]
    patient: Mapped[str]
    """Patient key of the sender; empty: none was given."""
    sex: Mapped[str]
    age: Mapped[int | None]
    view: Mapped[str]
    source: Mapped[str]
    tier: Mapped[int]
    """Tier the rule starts from: the order's, or a more urgent one that a reader moved it to."""
    ordered_tier: Mapped[int] = mapped_column(default=lambda context: context.get_current_parameters()["tier"])
    """Tier of the order: nothing ever stands below it."""
    moved_by: Mapped[str] = mapped_column(default="")
    """Reader whose move is in force; empty: it stands as ordered."""
    moved_reason: Mapped[str] = mapped_column(default="")
    arrived: Mapped[datetime]
    state: Mapped[str] = mapped_column(default=StudyState.UNREAD)
    waiting: Mapped[bool] = mapped_column(default=True)
    """Neither signed nor rejected: the worklist shows exactly these."""
    raised_tier: Mapped[int]
    """Derived by the rule from tier and flag; the order goes by this."""
    flag: Mapped[str] = mapped_column(default="")
    """Observation that raises it; empty: none."""
    flag_score: Mapped[float | None]
    """Score of that observation."""
    flagged: Mapped[bool] = mapped_column(default=False)
    rank: Mapped[float] = mapped_column(default=0.0)
    """Minus the priority, or 0 where there is none: flagged studies go by it, smallest first."""
    priority: Mapped[float | None]
    """Highest of its images; None until the model answered."""
    version: Mapped[str] = mapped_column(default="")
    """Model version of the current scores."""
    refusal: Mapped[str] = mapped_column(default="")
    """Why the model did not analyse an image of it; empty: nothing refused."""
    reader: Mapped[str] = mapped_column(default="")
    """Who has it open, or signed or rejected it."""
    closed: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(default="")
    """Why it was rejected."""

    images: Mapped[list["ImageRow"]] = relationship(order_by="ImageRow.id", back_populates="study_row")

    __table_args__ = (
        # Each ends with the columns of its condition: SQLite then reads the index alone (counts in 10 ms, not 117).
        _where("ix_studies_wait", ("raised_tier", "arrived", "id", "flagged", "waiting"), waiting=True),
        _where(
            "ix_studies_flagged",
            ("raised_tier", "rank", "arrived", "id", "flagged", "waiting"),
            waiting=True,
            flagged=True,
        ),
        _where("ix_studies_arrived", ("arrived", "waiting"), waiting=True),
        _where("ix_studies_reader", ("reader",), waiting=True),
        Index("ix_studies_accession", "accession"),
        Index("ix_studies_closed", "closed"),
    )

    @property
    def ordered(self) -> Tier:
        """The order's tier."""
        return Tier(self.ordered_tier)


class ImageRow(Base):
    """One image of a study, and whether the model has answered for it."""

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("study", "sha256"),
        _where("ix_images_pending", ("next_try",), pending=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    sha256: Mapped[str] = mapped_column(Words(64), index=True)
    uri: Mapped[str] = mapped_column(Words(1000))
    file: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    view: Mapped[str]
    pending: Mapped[bool] = mapped_column(default=True)
    """The model has neither answered nor refused it."""
    attempts: Mapped[int] = mapped_column(default=0)
    next_try: Mapped[datetime]
    problem: Mapped[str] = mapped_column(Words(500), default="")
    """Last failure, or why it was refused."""

    study_row: Mapped[Study] = relationship(back_populates="images")


class PredictionRow(Base):
    """One answer of one model version for one image."""

    __tablename__ = "predictions"
    __table_args__ = (Index("ix_predictions_time", "time", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    image: Mapped[int] = mapped_column(ForeignKey("images.id"), index=True)
    time: Mapped[datetime]
    version: Mapped[str]
    scores: Mapped[list[float]] = mapped_column(JSON)
    """14 calibrated probabilities in the order of OBSERVATIONS."""
    priority: Mapped[float]
    flag: Mapped[str]
    latency_ms: Mapped[float]


class Opening(Base):
    """A reader saw an image on the screen."""

    __tablename__ = "openings"
    __table_args__ = (Index("ix_openings_study", "study", "reader"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    image: Mapped[int] = mapped_column(ForeignKey("images.id"))
    reader: Mapped[str]
    time: Mapped[datetime]
    version: Mapped[str]
    """Model version whose scores stood beside it; empty: none."""


class AnswerRow(Base):
    """What a reader said of one observation. The last of a study and observation counts."""

    __tablename__ = "answers"
    __table_args__ = (Index("ix_answers_study", "study", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    observation: Mapped[str]
    value: Mapped[int | None]
    """1 present, 0 absent, -1 uncertain, None skipped."""
    reader: Mapped[str]
    role: Mapped[str]
    time: Mapped[datetime]


class Move(Base):
    """A reader moved a study to a tier, with a reason. The last of a study and reader counts."""

    __tablename__ = "moves"
    __table_args__ = (Index("ix_moves_study", "study", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    time: Mapped[datetime]
    reader: Mapped[str]
    role: Mapped[str]
    tier: Mapped[int]
    reason: Mapped[str]


class LabelEventRow(Base):
    """A label event as it is exported, and the part it lies in."""

    __tablename__ = "label_events"
    __table_args__ = (
        UniqueConstraint("event"),
        _where("ix_label_events_open", ("id",), exported=False),
        Index("ix_label_events_time", "time"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str]
    part: Mapped[str] = mapped_column(default="")
    """Name of the Parquet part it was assigned to; empty: none yet."""
    exported: Mapped[bool] = mapped_column(default=False)
    time: Mapped[datetime]
    study: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    image_sha256: Mapped[str]
    image_uri: Mapped[str] = mapped_column(Words(1000))
    patient: Mapped[str]
    observation: Mapped[str]
    value: Mapped[int | None]
    reader: Mapped[str]
    role: Mapped[str]
    opened: Mapped[datetime | None]
    final: Mapped[bool]
    version: Mapped[str]


class StudyEvent(Base):
    """Audit: who did what to a study, and when."""

    __tablename__ = "study_events"
    __table_args__ = (Index("ix_study_events_study", "study", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    time: Mapped[datetime]
    who: Mapped[str]
    what: Mapped[str]
    detail: Mapped[str] = mapped_column(Words(1000), default="")


class Marks(Base):
    """Operating points of a version, as its bundle's card gives them; pages work without."""

    __tablename__ = "marks"

    version: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[dict[str, float]] = mapped_column(JSON)
    """Threshold by observation."""
    time: Mapped[datetime]
