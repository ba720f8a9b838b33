"""An upload becomes a listed study: the bytes durable first, then one row. Sending the same again changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chexpert.domain import digests
from chexpert.domain.studies import Tier, View
from chexpert.imaging.decode import UnreadableImage, decode
from chexpert.triage.database import lock
from chexpert.triage.errors import NothingAccepted, RefusedFile
from chexpert.triage.images import ImageStore
from chexpert.triage.ranking import apply_rule
from chexpert.triage.site import Site
from chexpert.triage.tables import ImageRow, Study, StudyEvent

__all__ = ["Accepted", "Order", "ReadableImage", "Upload", "accept", "take_bytes"]

_ID_DIGITS: Final = 20
"""80 bits: two of a million studies share one with a chance of 4e-13."""
_LOCK: Final = 4_243_857_013
"""Uploads are listed one after the other: two files of one study that come at once join."""
_CHECK_PX: Final = 256
"""JPEG may be decoded this small to be checked: every byte is read, a quarter of the work is done."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the sender says of a study."""

    tier: Tier = Tier.ROUTINE
    accession: str = ""
    patient: str = ""
    sex: str = ""
    age: int | None = None
    view: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came."""

    file: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ReadableImage:
    """A file whose bytes are durable and can be decoded."""

    file: str
    sha256: str
    width: int
    height: int
    view: View


@dataclass(frozen=True, slots=True)
class Accepted:
    """The study that holds the images."""

    study: str
    images: tuple[str, ...]
    refused: tuple[RefusedFile, ...]
    known: bool
    """All of it was here already."""


def take_bytes(store: ImageStore, upload: Upload) -> ReadableImage | RefusedFile:
    """Check that the file is an image and make its bytes durable; or say why not."""
    try:
        image = decode(upload.data, target=_CHECK_PX)
    except UnreadableImage as error:
        return RefusedFile(upload.file, str(error))
    return ReadableImage(upload.file, store.put(upload.data), image.width, image.height, image.view)


def accept(site: Site, order: Order, files: Iterable[Upload | RefusedFile]) -> Accepted:
    """Take one study. Returns once bytes and row are durable; unreadable files are named, the others taken.

    Images sent again are found again. Images that come with the accession and patient of a waiting study join it.

    Raises:
        NothingAccepted: no file could be read.
    """
    taken = [one if isinstance(one, RefusedFile) else take_bytes(site.images, one) for one in files]
    refused = tuple(one for one in taken if isinstance(one, RefusedFile))
    images = list({one.sha256: one for one in taken if isinstance(one, ReadableImage)}.values())
    if not images:
        raise NothingAccepted(refused)
    try:
        study, known = _list(site, order, images)
    except IntegrityError:  # the same upload was listed by another process between our look and our row
        study, known = _list(site, order, images)
    return Accepted(study, tuple(one.sha256 for one in images), refused, known)


def _list(site: Site, order: Order, images: Sequence[ReadableImage]) -> tuple[str, bool]:
    now = site.clock()
    with site.database.write() as session:
        lock(session, _LOCK)
        study = _find(session, order, [one.sha256 for one in images])
        if study is not None:  # a reader or the worker may be changing it
            session.refresh(study, with_for_update=True)
        held = {one.sha256 for one in study.images} if study else set()
        new = [one for one in images if one.sha256 not in held]
        if study is None or (new and not study.waiting):
            study = _new_study(order, [one.sha256 for one in images], now)
            session.add(study)
            new = list(images)
        if new:
            study.images.extend(_row(site.images, order, one, now) for one in new)
            session.flush()
            detail = f"{order.source or 'upload'}: {', '.join(one.file for one in new)}"
            session.add(StudyEvent(study=study.id, time=now, who="intake", what="accepted", detail=detail[:1000]))
        if study.waiting:
            study.ordered_tier = min(study.ordered_tier, int(order.tier))
            study.tier = min(study.tier, study.ordered_tier)
            if study.tier == study.ordered_tier:  # the order asks for it now: no move is needed any more
                study.moved_by = study.moved_reason = ""
            apply_rule(study, site.settings.rule)
        return study.id, not new


def _find(session: Session, order: Order, sha256s: Sequence[str]) -> Study | None:
    """The study that these images belong to already, or that the sender means by accession and patient."""
    held = func.count(ImageRow.id)
    holding = (
        select(Study)
        .join(ImageRow, (ImageRow.study == Study.id) & ImageRow.sha256.in_(sha256s))
        .group_by(Study.id)
        .order_by(held.desc(), Study.waiting.desc(), Study.arrived, Study.id)
        .limit(1)
    )
    if not order.accession:
        return session.scalar(holding)
    same = (Study.accession == order.accession, Study.patient == order.patient)
    found = session.scalar(holding.where(*same))
    return found or session.scalar(select(Study).where(*same, Study.waiting).order_by(Study.arrived, Study.id).limit(1))


def _new_study(order: Order, sha256s: Sequence[str], now: datetime) -> Study:
    identity = digests.of_value([order.accession, order.patient, sorted(sha256s)])
    return Study(
        id=identity[:_ID_DIGITS],
        accession=order.accession,
        patient=order.patient,
        sex=order.sex,
        age=order.age,
        view=order.view,
        source=order.source,
        tier=int(order.tier),
        ordered_tier=int(order.tier),
        raised_tier=int(order.tier),
        arrived=now,
        priority=None,
        closed=None,
        flag="",
        flag_score=None,
        waiting=True,
    )


def _row(store: ImageStore, order: Order, image: ReadableImage, now: datetime) -> ImageRow:
    return ImageRow(
        sha256=image.sha256,
        uri=store.uri(image.sha256),
        file=image.file[-200:],
        width=image.width,
        height=image.height,
        view=order.view or (image.view if image.view is not View.UNKNOWN else ""),
        next_try=now,
    )
