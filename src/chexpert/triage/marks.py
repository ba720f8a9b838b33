"""Operating points of a served version, read from its bundle's card: the mark on each bar. Pages work without."""

import json
import logging
from datetime import datetime, timedelta
from typing import Final

import fsspec
from sqlalchemy.exc import IntegrityError

from chexpert.domain import digests
from chexpert.domain.errors import ChexpertError
from chexpert.domain.observations import OBSERVATIONS
from chexpert.serving.client import V2Client
from chexpert.triage.database import Database
from chexpert.triage.tables import Marks

__all__ = ["MarkKeeper"]

_LOG: Final = logging.getLogger(__name__)
_PAUSE: Final = timedelta(seconds=30)
"""Between two tries for a version whose card could not be read."""


class MarkKeeper:
    """Learns the operating points of each version once."""

    def __init__(self, database: Database, objects: str) -> None:
        self._database = database
        self._objects = objects.rstrip("/")
        self._tried: dict[str, datetime] = {}

    def learn(self, client: V2Client, version: str, now: datetime) -> None:
        """Store the version's points, unless they are known, were tried just now, or cannot be had."""
        if version in self._tried and now < self._tried[version]:
            return
        self._tried[version] = now + _PAUSE
        try:
            with self._database.read() as session:
                known = session.get(Marks, version) is not None
            if not known:
                points = self._read(client.metadata().digests[version])
                with self._database.write() as session:
                    session.merge(Marks(version=version, points=points, time=now))
        except IntegrityError:
            _LOG.debug("another thread learned the operating points of %s first", version)
        except (ChexpertError, OSError, LookupError, ValueError, TypeError) as error:
            _LOG.info(
                "no operating points of %s (%s: %s): bars stay without marks", version, type(error).__name__, error
            )
            return
        self._tried[version] = now + timedelta(days=365)

    def _read(self, digest: str) -> dict[str, float]:
        uri = f"{self._objects}/bundles/sha256-{digest}/card.json"
        with fsspec.open(uri, "rb") as stream:
            text = stream.read()
        if digests.of_bytes(text) != digest:
            msg = f"{uri} is not the served card"
            raise ValueError(msg)
        points = json.loads(text)["operating_points"]
        return {str(o): float(points[str(o)]["threshold"]) for o in OBSERVATIONS if str(o) in points}
