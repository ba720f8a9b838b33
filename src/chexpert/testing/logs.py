"""Synthetic parts of the inference log, in the server's own schema: what a version would have logged."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from chexpert.domain.observations import FLAGGABLE
from chexpert.domain.predictions import flag, priority
from chexpert.domain.records import LOG_PREFIX, InferenceRecord, Outcome
from chexpert.serving.inference_log import records_to_table

__all__ = ["Behaviour", "Population", "write_part"]


@dataclass(frozen=True, slots=True)
class Population:
    """Images and what a model says of them: rows of a bundle's reference, or any other."""

    scores: NDArray[np.float64]
    """(n, 14)"""
    statistics: NDArray[np.float64]
    """(n, 5)"""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a version answers; the defaults are healthy."""

    latency_ms: float = 20.0
    """Median; the spread is log-normal, as of a real server."""
    faults: float = 0.0
    """Share of requests that fail."""
    fault: Outcome = Outcome.ERROR
    rejected: float = 0.0
    """Share of requests that were the caller's fault."""
    score_shift: float = 0.0
    """Added to every score, then clipped to [0, 1]."""
    statistic_shift: float = 0.0
    """Added to every image statistic."""
    shadow: bool = False
    operating_point: float = 0.5


def write_part(
    objects: str,
    version: str,
    population: Population,
    behaviour: Behaviour,
    *,
    rows: int,
    start: datetime,
    seconds: float,
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """Write one part, its rows evenly spread over `seconds` from `start`. Returns the images' sha256."""
    picked = rng.integers(0, len(population.scores), rows)
    latencies = behaviour.latency_ms * rng.lognormal(0.0, 0.3, rows)
    draws = rng.random(rows)
    records = []
    for i in range(rows):
        rejected = draws[i] >= 1.0 - behaviour.rejected
        outcome = Outcome.REJECTED if rejected else behaviour.fault if draws[i] < behaviour.faults else Outcome.OK
        scores = np.clip(population.scores[picked[i]] + behaviour.score_shift, 0.0, 1.0).tolist()
        statistics = (population.statistics[picked[i]] + behaviour.statistic_shift).tolist()
        raised = flag(scores, dict.fromkeys(FLAGGABLE, behaviour.operating_point))
        answered = outcome is Outcome.OK
        records.append(
            InferenceRecord(
                time=start + timedelta(seconds=seconds * i / rows),
                request=f"r{i}",
                image_sha256=f"{rng.integers(0, 2**63):064x}",
                version=version,
                shadow=behaviour.shadow,
                latency_ms=float(latencies[i]),
                outcome=outcome,
                scores=tuple(scores) if answered else None,
                priority=priority(scores) if answered else None,
                flag=str(raised or "") if answered else "",
                statistics=tuple(statistics) if answered else None,
                view="frontal",
            ),
        )
    filesystem, root = url_to_fs(objects)
    folder = f"{root}/{LOG_PREFIX}/{start:%Y-%m-%d}/{version}"
    filesystem.makedirs(folder, exist_ok=True)
    with filesystem.open(f"{folder}/test-{rng.integers(0, 2**31)}.parquet", "wb") as file:
        pq.write_table(records_to_table(records), file)
    return tuple(record.image_sha256 for record in records)
