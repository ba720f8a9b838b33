"""Manifest: one row per image, with where its bytes are, whose it is, what is said of it, and its split."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from chexpert.data import objects
from chexpert.data.columns import SCHEMA, TEXT, table
from chexpert.data.errors import UnreadableData
from chexpert.domain.observations import OBSERVATIONS

__all__ = ["Manifest"]


class Manifest:
    """An immutable table with the columns of `chexpert.data.columns.SCHEMA`."""

    def __init__(self, rows: pa.Table) -> None:
        self.table = rows.combine_chunks()

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any] | pa.Array], rows: int) -> Self:
        """Build from columns; missing ones are empty or null, one `str` stands for every row."""
        return cls(table(columns, rows))

    @classmethod
    def read(cls, uri: str) -> Self:
        """Read a Parquet file by fsspec URI; UnreadableData if it is none or lacks columns."""
        try:
            rows = pq.read_table(pa.BufferReader(objects.read_bytes(uri)))
        except (OSError, pa.ArrowInvalid) as error:
            reason = f"no manifest: {str(error).splitlines()[0]}"
            raise UnreadableData(uri, reason=reason) from error
        if missing := [name for name in SCHEMA.names if name not in rows.column_names]:
            raise UnreadableData(uri, reason=f"columns {', '.join(missing)} are missing")
        try:
            return cls(rows.select(SCHEMA.names).cast(SCHEMA))
        except (pa.ArrowInvalid, ValueError) as error:
            raise UnreadableData(uri, reason=f"not of the schema: {str(error).splitlines()[0]}") from error

    def write(self, uri: str) -> str:
        """Write as Parquet; visible only when complete. Returns the digest."""
        with objects.staged(uri) as file:
            pq.write_table(self.table, file, compression="zstd")
        return self.digest

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rows in their order, without `image_path`: the same data elsewhere is the same data."""
        digest = sha256(",".join(SCHEMA.names).encode())
        for name in SCHEMA.names:
            if name != "image_path":
                digest.update(_canonical(self.table.column(name), text=name in TEXT))
        return digest.hexdigest()

    def labels(self) -> NDArray[np.float32]:
        """(n, 14) float32: 1, 0, -1, and NaN for blank, in the order of OBSERVATIONS."""
        result = np.empty((len(self), len(OBSERVATIONS)), np.float32)
        for index, observation in enumerate(OBSERVATIONS):
            result[:, index] = self.table.column(str(observation)).cast(pa.float32()).to_numpy()
        return result

    def column(self, name: str) -> NDArray[Any]:
        """One column: text as objects, age and labels as float64 with NaN where null."""
        column = self.table.column(name)
        if name in TEXT:
            values: NDArray[Any] = column.to_numpy()
            return values
        numbers: NDArray[Any] = column.cast(pa.float64()).to_numpy()
        return numbers

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of a split, ascending."""
        return np.flatnonzero(pc.equal(self.table.column("split"), split).to_numpy()).astype(np.int64)

    def select(self, rows: NDArray[np.integer[Any]] | Sequence[int]) -> "Manifest":
        """The manifest of these rows, in this order."""
        return Manifest(self.table.take(pa.array(np.asarray(rows, np.int64))))

    def joined(self, other: "Manifest") -> "Manifest":
        """The rows of this one, then those of the other."""
        return Manifest(pa.concat_tables([self.table, other.table]))

    def replaced(self, name: str, values: Sequence[Any] | NDArray[Any] | pa.Array) -> "Manifest":
        """This manifest with another column `name`."""
        field = SCHEMA.field(name)
        array = values.cast(field.type) if isinstance(values, pa.Array) else pa.array(values, field.type)
        return Manifest(self.table.set_column(SCHEMA.get_field_index(name), field, array))

    def __len__(self) -> int:
        rows: int = self.table.num_rows
        return rows


def _canonical(column: pa.ChunkedArray, *, text: bool) -> bytes:
    """Bytes that depend on the values alone, not on Arrow's buffers."""
    if text:
        lengths = pc.binary_length(column).to_numpy().astype("<i4").tobytes()
        values = pc.binary_join(pa.array([column.to_pylist()], pa.list_(pa.string())), "")
        joined: str = values[0].as_py()
        return bytes(lengths) + joined.encode()
    blank = np.iinfo(np.int16).min
    numbers: bytes = column.cast(pa.int16()).fill_null(blank).to_numpy().astype("<i2").tobytes()
    return numbers
