"""The columns of a manifest."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from chexpert.domain.observations import OBSERVATIONS

__all__ = ["SCHEMA", "TEXT", "table"]

TEXT: Final = (
    "image_path",
    "sha256",
    "patient",
    "study",
    "view",
    "projection",
    "sex",
    "split",
    "source",
    "licence",
    "odd",
)
"""Text columns, never null. `odd` says in words what is strange about a row that is kept, such as "age 0"."""

SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in TEXT[:7]),
        pa.field("age", pa.int16()),
        *(pa.field(str(o), pa.int8()) for o in OBSERVATIONS),
        *(pa.field(name, pa.string(), nullable=False) for name in TEXT[7:]),
    ],
)


def table(columns: Mapping[str, Sequence[Any] | pa.Array], rows: int) -> pa.Table:
    """A table of the schema: missing text columns are empty, a missing age or label is null.

    A text given as one `str` is that of every row.
    """
    arrays = []
    for field in SCHEMA:
        values = columns.get(field.name)
        if values is None or isinstance(values, str):
            constant = pa.scalar(values or "" if field.name in TEXT else None, field.type)
            arrays.append(pa.repeat(constant, rows))
        else:
            arrays.append(pa.array(values, field.type) if not isinstance(values, pa.Array) else values.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
