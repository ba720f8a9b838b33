"""Readers' answers about the images of a window: how often a version's flags were confirmed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from chexpert.domain.events import FEEDBACK_PREFIX
from chexpert.domain.labels import ABSENT, PRESENT
from chexpert.monitoring.errors import BrokenPart, ObjectsUnavailable
from chexpert.monitoring.window import Window

__all__ = ["Answers", "Said", "read", "score"]

Said = dict[tuple[str, str], int]
"""Latest answer, 1 present or 0 absent, by image sha256 and observation."""

_COLUMNS: Final = ["time", "image_sha256", "observation", "value"]


@dataclass(frozen=True, slots=True)
class Answers:
    """Of a version's flags that a reader answered."""

    confirmed: int = 0
    denied: int = 0

    @property
    def total(self) -> int:
        """All that were answered present or absent."""
        return self.confirmed + self.denied


def read(objects: str, since: datetime) -> Said:
    """Label events from a time on; a later one replaces an earlier one, and one that is neither 1 nor 0 withdraws it.

    Raises:
        BrokenPart: A part is no Parquet file or lacks columns.
        ObjectsUnavailable: The store did not answer.
    """
    filesystem, root = url_to_fs(objects)
    said: dict[tuple[str, str], tuple[datetime, int | None]] = {}
    instant = pa.scalar(since.astimezone(UTC), pa.timestamp("us", tz="UTC"))
    # A part lies in the folder of its first event's day and may reach into the next.
    earliest = (since.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    for path in sorted(filesystem.glob(f"{root}/{FEEDBACK_PREFIX}/*/*.parquet")):
        if path.rsplit("/", 2)[-2] < earliest:
            continue
        try:
            with filesystem.open(path, "rb") as file:
                table = pq.read_table(file, columns=_COLUMNS, filters=pc.field("time") >= instant)
        except pa.ArrowException as error:
            raise BrokenPart(path, str(error)) from error
        except OSError as error:
            raise ObjectsUnavailable(path, str(error)) from error
        for row in table.to_pylist():
            key = (row["image_sha256"], row["observation"])
            if key not in said or said[key][0] <= row["time"]:
                said[key] = (row["time"], row["value"])
    return {key: value for key, (_, value) in said.items() if value in {PRESENT, ABSENT}}


def score(window: Window, said: Said) -> Answers:
    """How many of a window's flags were confirmed and denied; an image counts once."""
    flags = {image: flag for image, flag in zip(window.images, window.flags, strict=True) if flag}
    values = [said[key] for key in flags.items() if key in said]
    return Answers(confirmed=values.count(PRESENT), denied=values.count(ABSENT))
