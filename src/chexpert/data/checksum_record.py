"""`checksums.parquet` beside uploaded objects: their SHA-256, so that nobody reads 400 GB again to name its images.

A line counts only while the store's size and tag of the object are those of the line. Whoever decodes an image checks
its bytes against the manifest anyway, so a wrong line costs the image, and never changes what is learned from.
"""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from chexpert.data import objects
from chexpert.data.errors import UnreadableData
from chexpert.data.stored import Store, Stored

__all__ = ["RECORD", "read", "write"]

RECORD: Final = "checksums.parquet"

_SCHEMA: Final = pa.schema(
    [("name", pa.string()), ("size", pa.int64()), ("etag", pa.string()), ("sha256", pa.string())],
)


def write(uri: str, sha256s: Mapping[str, str], listing: Mapping[str, Stored]) -> None:
    """Write the record into the folder `uri`: the checksum of each name, with what the listing says of it."""
    there = [listing[name] for name in sha256s]
    columns = [list(sha256s), [one.size for one in there], [one.etag for one in there], list(sha256s.values())]
    rows = pa.table([pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA)
    with objects.staged(objects.child(uri, RECORD)) as file:
        pq.write_table(rows, file, compression="zstd")


def read(store: Store, listing: Mapping[str, Stored]) -> dict[str, str]:
    """Checksums of the objects that every record below `store` still describes; those without a tag are left out.

    Raises:
        UnreadableData: a record that is none: delete it, or upload again.
    """
    known: dict[str, str] = {}
    for name in listing:
        folder, _, last = name.rpartition("/")
        if last == RECORD:
            prefix = f"{folder}/" if folder else ""
            known |= {
                f"{prefix}{one}": sha256
                for one, size, etag, sha256 in _lines(store, name)
                if etag and listing.get(f"{prefix}{one}") == Stored(size, etag)
            }
    return known


def _lines(store: Store, name: str) -> list[tuple[str, int, str, str]]:
    try:
        rows = pq.read_table(pa.BufferReader(store.read(name))).select(_SCHEMA.names).cast(_SCHEMA)
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        reason = "no record of checksums: delete it, or run `chexpert data upload` again"
        raise UnreadableData(store.uri_of(name), reason=reason) from error
    return list(zip(*(rows.column(column).to_pylist() for column in _SCHEMA.names), strict=True))
