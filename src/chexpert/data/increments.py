"""What readers answered since, as training rows.

Only answers of a signed study whose image the reader opened count; the latest one of an image and observation stands.
Nothing of a patient or image that evaluation uses becomes a training row, each refused with its reason.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chexpert.data import label_events
from chexpert.data.columns import TEXT
from chexpert.data.errors import Refusal
from chexpert.data.manifest import Manifest
from chexpert.data.splits import EVALUATION_SPLITS, split_of
from chexpert.domain.events import LabelEvent
from chexpert.domain.labels import Label
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.studies import View

__all__ = ["SOURCE", "Increment", "extend", "extend_by"]

SOURCE: Final = "feedback"
"""`source` of rows with readers' answers."""


@dataclass(frozen=True, slots=True)
class Increment:
    """What the answers added."""

    new_labels: int
    """Labels (1, 0, -1) taken over; skipped ones are none."""
    rows: int
    """Training rows that carry them."""
    counts: Mapping[Observation, int]
    """New labels per observation."""
    refused: tuple[Refusal, ...]
    """Images whose answers must not be trained on."""


def extend(manifest: Manifest, feedback_uri: str) -> tuple[Manifest, Increment]:
    """Read the label events below `feedback_uri` and add them; no folder means no events."""
    return extend_by(manifest, label_events.read(feedback_uri))


def extend_by(manifest: Manifest, events: Sequence[LabelEvent]) -> tuple[Manifest, Increment]:
    """Add the labels of events to a manifest.

    An image that is a training row already keeps what else is known of it, and the answers replace its labels.

    Returns:
        The manifest with rows of source `feedback` in split `train`, last; and what was added and refused.
    """
    images = _answers(events)
    guard = _Guard(manifest)
    refused = []
    rows: list[dict[str, Any]] = []
    counts: Counter[Observation] = Counter()
    replaced: list[int] = []
    for sha256, answers in images.items():
        last = max(answers, key=_when)
        if reason := guard.reason(sha256, {event.patient for event in answers}):
            refused.append(Refusal(study=last.study, sha256=sha256, reason=reason, image_path=last.image_uri))
            continue
        labels = {event.observation: event.value for event in sorted(answers, key=_when)}
        known = {observation: value for observation, value in labels.items() if value is not None}
        if not known:
            continue
        counts.update(known.keys())
        row = guard.training_row.get(sha256)
        rows.append(_row(last, known) if row is None else _overlay(manifest, row, known))
        if row is not None:
            replaced.append(row)
    kept = manifest.select(np.setdiff1d(np.arange(len(manifest)), replaced)) if replaced else manifest
    added = Manifest.of({name: [row[name] for row in rows] for name in (rows[0] if rows else ())}, len(rows))
    return kept.joined(added), Increment(counts.total(), len(rows), dict(counts), tuple(refused))


class _Guard:
    """Knows what evaluation uses."""

    def __init__(self, manifest: Manifest) -> None:
        columns = zip(*(manifest.column(name) for name in ("sha256", "patient", "split")), strict=True)
        self.training_row: dict[str, int] = {}
        self._images: dict[str, str] = {}
        self._patients: dict[str, str] = {}
        for row, (sha256, patient, split) in enumerate(columns):
            if split in EVALUATION_SPLITS:
                self._images[sha256] = split
                self._patients[patient] = split
            else:
                self.training_row.setdefault(sha256, row)

    def reason(self, sha256: str, patients: set[str]) -> str:
        """Why the image must not be a training row; empty if it may."""
        if split := self._images.get(sha256):
            return f"the image stands in the evaluation split {split}"
        for patient in sorted(patients):
            if split := self._patients.get(patient):
                return f"patient {patient} stands in the evaluation split {split}"
            if (split := split_of(patient)) in EVALUATION_SPLITS:
                return f"patient {patient} belongs to the evaluation split {split} by its hash"
        return ""


def _answers(events: Sequence[LabelEvent]) -> dict[str, list[LabelEvent]]:
    """Events that are training labels, by image, in order of first answer."""
    images: dict[str, list[LabelEvent]] = defaultdict(list)
    for event in sorted(events, key=_when):
        if event.final and event.opened is not None:
            images[event.image_sha256].append(event)
    return images


def _when(event: LabelEvent) -> tuple[float, str]:
    return event.time.timestamp(), event.event


def _row(event: LabelEvent, labels: Mapping[Observation, Label]) -> dict[str, Any]:
    return {
        **dict.fromkeys(TEXT, ""),
        "image_path": event.image_uri,
        "sha256": event.image_sha256,
        "patient": event.patient,
        "study": event.study,
        "view": View.UNKNOWN,
        "age": None,
        **{str(o): labels.get(o) for o in OBSERVATIONS},
        "split": "train",
        "source": SOURCE,
        "licence": "site",
    }


def _overlay(manifest: Manifest, row: int, labels: Mapping[Observation, Label]) -> dict[str, Any]:
    known: dict[str, Any] = manifest.table.slice(row, 1).to_pylist()[0]
    return {**known, **{str(o): value for o, value in labels.items()}, "source": SOURCE}
