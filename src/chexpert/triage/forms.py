"""What comes in over HTTP, read strictly and told clearly."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict

from chexpert.domain.labels import Label
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.studies import Tier
from chexpert.triage.errors import NotAllowed, RefusedFile
from chexpert.triage.intake import Order, Upload
from chexpert.triage.reading import WORDS, Reader

__all__ = [
    "TIER_WORDS",
    "AnswerForm",
    "MoveForm",
    "OpenForm",
    "ReaderForm",
    "RejectForm",
    "labels_of",
    "order_of",
    "tier_of",
    "uploads_of",
]

TIER_WORDS: Final[Mapping[Tier, str]] = {Tier.STAT: "STAT", Tier.URGENT: "urgent", Tier.ROUTINE: "routine"}

_TEXT_CHARS_MAX: Final = 64
_AGE_MAX: Final = 130


class ReaderForm(BaseModel):
    """Who acts."""

    model_config = ConfigDict(extra="forbid")

    reader: str = ""
    """May be left out where a login says who it is."""
    role: str = "radiologist"

    def to_reader(self) -> Reader:
        """Checked."""
        return Reader(self.reader, self.role)


class OpenForm(ReaderForm):
    """The reader sees an image."""

    image: str = ""
    """SHA-256; empty: all of the study."""
    take_over: bool = False


class AnswerForm(ReaderForm):
    """What the reader says, by observation: present, absent, uncertain, skipped."""

    answers: dict[str, str]


class RejectForm(ReaderForm):
    """Why the study leaves the list unread."""

    reason: str


class MoveForm(ReaderForm):
    """Where the study shall stand, and why."""

    tier: str
    reason: str


def labels_of(answers: Mapping[str, str]) -> dict[Observation, Label]:
    """Words to labels, or NotAllowed naming the first that is none."""
    names = {str(o) for o in OBSERVATIONS}
    for name, word in answers.items():
        if name not in names:
            raise NotAllowed(what="answers", reason=f"{name[:_TEXT_CHARS_MAX]!r} is none of the 14 observations")
        if word not in WORDS:
            raise NotAllowed(name, f"{word[:_TEXT_CHARS_MAX]!r} is none of {', '.join(WORDS)}")
    return {Observation(name): WORDS[word] for name, word in answers.items()}


def order_of(*, patient: str, accession: str, tier: str, sex: str, age: str, view: str, source: str) -> Order:
    """An order from form fields, or NotAllowed naming the field."""
    texts = {"patient": patient, "accession": accession, "sex": sex, "view": view, "source": source}
    for name, value in texts.items():
        if len(value) > _TEXT_CHARS_MAX or not value.isprintable():
            raise NotAllowed(name, f"at most {_TEXT_CHARS_MAX} printable characters")
    return Order(tier_of(tier), age=_age(age), **{name: value.strip() for name, value in texts.items()})


def tier_of(text: str) -> Tier:
    """A tier by its word, or NotAllowed."""
    tiers = {word.lower(): one for one, word in TIER_WORDS.items()}
    if text.strip().lower() not in tiers:
        raise NotAllowed(what="tier", reason=f"{text[:_TEXT_CHARS_MAX]!r} is none of {', '.join(TIER_WORDS.values())}")
    return tiers[text.strip().lower()]


def uploads_of(files: Sequence[UploadFile], bytes_max: int) -> Iterator[Upload | RefusedFile]:
    """One file after the other, so that memory holds one; those over the limit are refused unread."""
    for number, file in enumerate(files, 1):
        name = (file.filename or f"file {number}").replace("\\", "/").rsplit("/", 1)[-1]
        if file.size is not None and file.size > bytes_max:
            reason = f"it has {file.size / 1e6:,.1f} MB, the limit is {bytes_max / 1e6:,.1f} MB"
            yield RefusedFile(name, reason, too_large=True)
        else:
            yield Upload(name, file.file.read())


def _age(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        age = int(float(text))
    except (ValueError, OverflowError):
        age = -1
    if not 0 <= age <= _AGE_MAX:
        raise NotAllowed(what="age", reason=f"{text[:_TEXT_CHARS_MAX]!r} is no age in years")
    return age
