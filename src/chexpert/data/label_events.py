"""Label events as Parquet parts: triage writes them, retraining and monitoring read them."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from chexpert.data import objects
from chexpert.data.errors import UnreadableData
from chexpert.domain.events import LabelEvent
from chexpert.domain.observations import Observation

__all__ = ["SCHEMA", "read", "write"]

_TIME: Final = pa.timestamp("us", tz="UTC")
_KINDS: Final = {"time": _TIME, "opened": _TIME, "value": pa.int8(), "final": pa.bool_()}
_NULLABLE: Final = frozenset({"opened", "value"})

SCHEMA: Final = pa.schema(
    [pa.field(f.name, _KINDS.get(f.name, pa.string()), nullable=f.name in _NULLABLE) for f in fields(LabelEvent)],
)
"""Columns are named as the fields of LabelEvent."""


def write(events: Sequence[LabelEvent], feedback_uri: str) -> str:
    """Write one part under `feedback_uri`/<date of the first>/<first event>-<last event>.parquet.

    The same events give the same name, so a repeated export replaces its part. Returns the part's URI.
    """
    if not events:
        raise UnreadableData(feedback_uri, reason="a part of no label events is not written")
    first, last = events[0], events[-1]
    uri = objects.child(feedback_uri, f"{first.time:%Y-%m-%d}", f"{first.event}-{last.event}.parquet")
    rows = [{**asdict(event), "observation": str(event.observation)} for event in events]
    with objects.staged(uri) as file:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file)
    return uri


def read(feedback_uri: str) -> list[LabelEvent]:
    """All events, oldest first, each once; no folder means no events. UnreadableData names a broken part."""
    events: dict[str, LabelEvent] = {}
    for uri in objects.find(feedback_uri, ".parquet"):
        events.update((event.event, event) for event in _part(uri))
    return sorted(events.values(), key=lambda event: (event.time, event.event))


def _part(uri: str) -> list[LabelEvent]:
    try:
        rows = pq.read_table(pa.BufferReader(objects.read_bytes(uri)), schema=SCHEMA).to_pylist()
        return [_event(row) for row in rows]
    except (OSError, pa.ArrowException, TypeError, ValueError) as error:
        raise UnreadableData(uri, reason=f"no part of label events: {str(error).splitlines()[0]}") from error


def _event(row: dict[str, Any]) -> LabelEvent:
    return LabelEvent(**{**row, "observation": Observation(row["observation"])})
