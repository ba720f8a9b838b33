"""The inference log: Parquet parts at log/<date>/<version>/<pod>-<n>.parquet, each readable as soon as it has its name.

Lost at SIGKILL: what came since the last part, at most `close_s` seconds. Nothing at SIGTERM.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from io import BytesIO
from threading import Condition, Thread
from time import monotonic
from typing import Any, Final

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import LOG_PREFIX, STATISTICS, InferenceRecord
from chexpert.serving.settings import LogSettings

__all__ = ["SCHEMA", "InferenceLog", "records_to_table", "table_to_columns"]

_LOGGER: Final = logging.getLogger(__name__)

SCHEMA: Final = pa.schema(
    [
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("request", pa.string(), nullable=False),
        pa.field("image_sha256", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("shadow", pa.bool_(), nullable=False),
        pa.field("latency_ms", pa.float64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        *(pa.field(str(observation), pa.float32()) for observation in OBSERVATIONS),
        pa.field("priority", pa.float32()),
        pa.field("flag", pa.string(), nullable=False),
        *(pa.field(statistic, pa.float32()) for statistic in STATISTICS),
        pa.field("view", pa.string(), nullable=False),
    ],
)
"""Columns of a part: the fields of InferenceRecord, `scores` and `statistics` spread; null: no answer."""


def records_to_table(records: Sequence[InferenceRecord]) -> pa.Table:
    """A table of SCHEMA, one row per record."""
    no_scores, no_statistics = (None,) * len(OBSERVATIONS), (None,) * len(STATISTICS)
    rows = [
        (
            *(record.time.astimezone(UTC), record.request, record.image_sha256, record.version, record.shadow),
            *(record.latency_ms, str(record.outcome)),
            *(record.scores or no_scores),
            *(record.priority, record.flag),
            *(record.statistics or no_statistics),
            record.view,
        )
        for record in records
    ]
    columns = zip(*rows, strict=True) if rows else ((),) * len(SCHEMA)
    return pa.table([pa.array(column, f.type) for column, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def table_to_columns(table: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Columns by name: numbers as float (NaN where null), `time` as datetime64[us] in UTC, text as objects."""
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for entry in SCHEMA:
        column = table.column(entry.name)
        if pa.types.is_timestamp(entry.type):
            column = column.cast(pa.timestamp("us"))
        columns[entry.name] = column.to_numpy()
    return columns


@dataclass(slots=True)
class _Part:
    opened: float
    records: list[InferenceRecord] = field(default_factory=list)


class InferenceLog:
    """Gathers records of any thread and writes parts from one of its own; `append` never waits for the store."""

    def __init__(self, objects: str, pod: str, settings: LogSettings | None = None) -> None:
        """Nothing is written yet. `pod` must be of this process alone: two of the same name would overwrite parts."""
        self._settings = settings or LogSettings()
        self._filesystem, root = fsspec.core.url_to_fs(objects)
        self._root = f"{root.rstrip('/')}/{LOG_PREFIX}"
        self._pod = pod
        self._written = 0
        self._dropped = 0
        self._parts: dict[tuple[str, str], _Part] = {}
        self._changed = Condition()
        self._closing = False
        self._thread = Thread(target=self._run, name="inference-log", daemon=True)
        self._thread.start()

    def append(self, records: Sequence[InferenceRecord]) -> None:
        """Take the records of one request."""
        with self._changed:
            for record in records:
                key = (record.time.astimezone(UTC).date().isoformat(), record.version)
                part = self._parts.setdefault(key, _Part(opened=monotonic()))
                part.records.append(record)
                if len(part.records) in {1, self._settings.close_rows}:
                    self._changed.notify()

    def close(self) -> None:
        """Write what is left, and end. Raises nothing: a store that is away loses rows, and says how many."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._closing:
                    self._changed.wait(timeout=self._until_due())
                closing = self._closing
                due = self._take_due(everything=closing)
            for key, records in due:
                self._write_or_keep(key, records, last=closing)
            if closing:
                return

    def _until_due(self) -> float | None:
        """Seconds until a part is due; None while there is none."""
        opened = [part.opened for part in self._parts.values()]
        return max(0.0, min(opened) + self._settings.close_s - monotonic()) if opened else None

    def _take_due(self, *, everything: bool) -> list[tuple[tuple[str, str], list[InferenceRecord]]]:
        now, limit = monotonic(), self._settings.close_rows
        due = []
        for key, part in list(self._parts.items()):
            if everything or now - part.opened >= self._settings.close_s or len(part.records) >= limit:
                del self._parts[key]
                due += [(key, part.records[at : at + limit]) for at in range(0, len(part.records), limit)]
        return due

    def _write_or_keep(self, key: tuple[str, str], records: list[InferenceRecord], *, last: bool) -> None:
        try:
            self._write(key, records)
        except Exception:
            # Whatever a store raises must not end the log: the rows are worth another try.
            if last:
                _LOGGER.exception("%d inference records of %s are lost", len(records), key)
                return
            _LOGGER.exception("a part of %s could not be written; its %d rows are kept", key, len(records))
            with self._changed:
                part = self._parts.setdefault(key, _Part(opened=monotonic()))
                part.records[:0] = records
                surplus = len(part.records) - self._settings.keep_rows
                if surplus > 0:
                    del part.records[:surplus]
                    self._dropped += surplus
                    _LOGGER.warning("%d inference records dropped so far: the store is away", self._dropped)

    def _write(self, key: tuple[str, str], records: Sequence[InferenceRecord]) -> None:
        buffer = BytesIO()
        pq.write_table(records_to_table(records), buffer, compression="zstd")
        folder = f"{self._root}/{key[0]}/{key[1]}"
        path = f"{folder}/{self._pod}-{self._written}.parquet"
        if isinstance(self._filesystem, LocalFileSystem):
            self._filesystem.makedirs(folder, exist_ok=True)
            self._filesystem.pipe_file(f"{path}.tmp", buffer.getvalue())
            self._filesystem.mv(f"{path}.tmp", path)
        else:
            self._filesystem.pipe_file(path, buffer.getvalue())  # one PUT: the object appears whole
        self._written += 1
