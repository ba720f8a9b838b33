"""Inference record: one answered request for one image, as the model server logs it. No patient data, no role."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

__all__ = ["LOG_PREFIX", "STATISTICS", "InferenceRecord", "Outcome"]

LOG_PREFIX: Final = "log"
"""Folder under the objects root: log/<date>/<version>/<pod>-<n>.parquet."""

STATISTICS: Final = ("mean", "std", "p5", "p95", "aspect")
"""Image statistics, in order: grey levels scaled to [0, 1], and width over height."""


class Outcome(StrEnum):
    """How a request ended. REJECTED (the caller's fault) does not count against a version; the others but OK do."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    NOT_A_NUMBER = "nan"
    OUT_OF_RANGE = "range"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class InferenceRecord:
    """One row of a Parquet part; columns carry these names, `scores` and `statistics` are spread.

    Score columns are named as the observations, statistic columns as in STATISTICS.
    """

    time: datetime
    request: str
    image_sha256: str
    """Empty where a full server refused the request unread."""
    version: str
    shadow: bool
    """A replay of a stored image: outside latency and error counts."""
    latency_ms: float
    outcome: Outcome
    scores: tuple[float, ...] | None
    """14 calibrated probabilities; None unless the outcome is OK."""
    priority: float | None
    flag: str
    """Name of the flagged observation, empty if none."""
    statistics: tuple[float, ...] | None
    view: str
