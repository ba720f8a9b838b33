"""What a version answered on its validation images, and how those images looked: the drift test's reference."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from chexpert.bundle.card import REFERENCE
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import STATISTICS
from chexpert.monitoring.errors import NoReference, ObjectsUnavailable

__all__ = ["Reference", "read"]

_SCORES: Final = [str(o) for o in OBSERVATIONS]


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows of a bundle's reference.parquet."""

    scores: NDArray[np.float64]
    """(n, 14)"""
    statistics: NDArray[np.float64]
    """(n, 5)"""


def read(bundle_uri: str) -> Reference:
    """Read the reference of a bundle.

    Raises:
        NoReference: The bundle has none, or it is no Parquet file with these columns.
        ObjectsUnavailable: The store did not answer.
    """
    uri = f"{bundle_uri.rstrip('/')}/{REFERENCE}"
    filesystem, path = url_to_fs(uri)
    try:
        with filesystem.open(path, "rb") as file:
            table = pq.read_table(file, columns=[*_SCORES, *STATISTICS])
    except FileNotFoundError as error:
        raise NoReference(uri, "nothing lies there") from error
    except pa.ArrowException as error:
        raise NoReference(uri, str(error)) from error
    except OSError as error:
        raise ObjectsUnavailable(uri, str(error)) from error
    if missing := [name for name in [*_SCORES, *STATISTICS] if name not in table.column_names]:
        raise NoReference(uri, f"it has no column {', '.join(missing)}")
    columns = [table[name].to_numpy().astype(np.float64) for name in [*_SCORES, *STATISTICS]]
    whole = np.stack(columns, axis=1)
    return Reference(whole[:, : len(_SCORES)], whole[:, len(_SCORES) :])
