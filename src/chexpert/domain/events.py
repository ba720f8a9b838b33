"""Label event: what a reader said of one finding of one study. Appended, never overwritten."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chexpert.domain.labels import Label
from chexpert.domain.observations import Observation

__all__ = ["FEEDBACK_PREFIX", "LabelEvent"]

FEEDBACK_PREFIX: Final = "feedback"
"""Folder under the objects root where parts lie: feedback/<date>/<first event>-<last event>.parquet."""


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """One row of a Parquet part under feedback/; the columns carry these names."""

    event: str
    """Unique; a later event of the same study and observation replaces an earlier one when labels are read."""
    time: datetime
    study: str
    image_sha256: str
    image_uri: str
    patient: str
    """Patient key; the image's sha256 where none was given: then the upload is its own patient."""
    observation: Observation
    value: Label
    """1 present, 0 absent, -1 uncertain, None skipped: never 'agree'."""
    reader: str
    role: str
    opened: datetime | None
    """When this reader opened the image; None: never seen, so not a training label."""
    final: bool
    """Whether the study was signed with it."""
    version: str
    """Model version whose scores were shown; empty: none."""
