"""reference.parquet: what the model answered on its evaluation images, and how those images looked."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.predictions import priority
from chexpert.domain.records import STATISTICS

__all__ = ["encode"]


def encode(scores: NDArray[np.floating], statistics: NDArray[np.floating]) -> bytes:
    """Parquet with the 14 score columns, priority, and the five image statistics.

    Args:
        scores: (n, 14) calibrated, in the order of OBSERVATIONS.
        statistics: (n, 5) in the order of STATISTICS, of the images as they came.
    """
    columns = {
        **{str(o): scores[:, c] for c, o in enumerate(OBSERVATIONS)},
        "priority": np.array([priority(row) for row in scores.tolist()]),
        **{name: statistics[:, c] for c, name in enumerate(STATISTICS)},
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data
