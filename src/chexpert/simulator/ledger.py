"""What was sent, with its truth: kept for readers, metrics and retraining, outside of the product."""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self

from chexpert.data import objects
from chexpert.domain.labels import Label

__all__ = ["LEDGER_PREFIX", "Ledger", "Sent"]

SUFFIX = ".json"
LEDGER_PREFIX = "simulator"
"""Folder under the objects root: simulator/<run>/<number, 8 digits>.json, one immutable object per study."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One study that the site accepted."""

    number: int
    """Its place in the run's plan, from 0."""
    time: datetime
    study: str
    accession: str
    images: tuple[str, ...]
    """SHA-256 of each image as the site named it."""
    names: tuple[str, ...]
    device: str
    source: str
    truth: tuple[Label, ...]
    """14 labels in the order of OBSERVATIONS."""

    def to_json(self) -> str:
        """One JSON object; the time in ISO 8601 with its zone."""
        return json.dumps({**asdict(self), "time": self.time.isoformat()}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`."""
        fields = json.loads(text)
        tuples = {name: tuple(fields[name]) for name in ("images", "names", "truth")}
        return cls(**{**fields, **tuples, "time": datetime.fromisoformat(fields["time"])})


class Ledger:
    """The studies of one run under an fsspec URI. Objects appear whole or not at all."""

    def __init__(self, objects_uri: str, run: str) -> None:
        self.run = run
        self._folder = objects.child(objects_uri, LEDGER_PREFIX, run)

    def record(self, sent: Sent) -> None:
        """Keep one study; durable when this returns."""
        objects.write_bytes(objects.child(self._folder, f"{sent.number:08d}{SUFFIX}"), sent.to_json().encode())

    def numbers(self) -> frozenset[int]:
        """Numbers of what was sent."""
        return frozenset(_number(uri) for uri in objects.find(self._folder, SUFFIX))

    def read(self, *, known: Collection[int] = ()) -> Iterator[Sent]:
        """What was sent, in the order of the plan, without the numbers already `known`."""
        for uri in objects.find(self._folder, SUFFIX):
            if _number(uri) not in known:
                yield Sent.from_json(objects.read_bytes(uri).decode())


def _number(uri: str) -> int:
    return int(uri.rpartition("/")[2].removesuffix(SUFFIX))
