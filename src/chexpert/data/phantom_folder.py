"""A folder of phantoms in the layout of CheXpert v1.0: noisy labels in train.csv, the truth in valid.csv."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from chexpert.data import objects
from chexpert.data.chexpert_csv import COLUMNS
from chexpert.data.drawing.anatomy import Patient, sample_patient, sample_projection
from chexpert.data.drawing.knobs import InvalidKnob, Knobs
from chexpert.data.drawing.label_noise import observed
from chexpert.data.drawing.phantom import draw
from chexpert.data.drawing.truth import Truth, follow_up, sample_truth
from chexpert.domain.labels import Label

__all__ = ["PREFIX", "PhantomSettings", "generate"]

PREFIX: Final = "CheXpert-v1.0-small"
"""First part of the Path column, as in the small release; the files lie in the folder itself."""

_FIRST_VALID: Final = 64541
"""CheXpert's own number of its first validation patient."""
_MOST_STUDIES: Final = 8
_RECORD: Final = "phantoms.json"
_WORTH_STARTING: Final = 300
"""Patients above which other processes are started."""


@dataclass(frozen=True, slots=True)
class PhantomSettings:
    """What to draw."""

    train_patients: int = 800
    """Patients in train.csv; each has 1 to 8 studies, about 1.8 images in the mean."""
    valid_patients: int = 200
    """Patients in valid.csv with one study each, as in CheXpert."""
    size: int = 64
    """Pixels of the longer side."""
    seed: int = 0
    """The same settings give the same bytes."""
    noise: float = 1.0
    """Share of training labels that pass CheXpert's labeller instead of being the truth; 0 switches the noise off."""
    knobs: Knobs = field(default_factory=Knobs)
    """Drift."""

    def __post_init__(self) -> None:
        for name, least in (("train_patients", 0), ("valid_patients", 0), ("size", 8)):
            if getattr(self, name) < least:
                raise InvalidKnob(name, getattr(self, name), allowed=f"{least} or more")
        if not 0.0 <= self.noise <= 1.0:
            raise InvalidKnob(name="noise", value=self.noise, allowed="a share from 0 to 1")


@dataclass(frozen=True, slots=True)
class _Row:
    path: str
    patient: Patient
    view: str
    projection: str
    labels: tuple[Label, ...]
    truth: Truth


def generate(
    folder: Path | str,
    settings: PhantomSettings,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write train/, valid/, train.csv, valid.csv, and truth.csv with the exact labels of both.

    A folder that already holds exactly these settings is left as it is.

    Args:
        folder: made if missing.
        settings: what to draw.
        workers: processes; default: all cores.
        progress: called with patients done and their number.
    """
    root = Path(folder).resolve()
    record = json.dumps(asdict(settings), indent=1)
    if (root / _RECORD).exists() and (root / _RECORD).read_text() == record:
        return
    (root / _RECORD).unlink(missing_ok=True)
    numbers = [("train", n) for n in range(1, settings.train_patients + 1)]
    numbers += [("valid", _FIRST_VALID + n) for n in range(settings.valid_patients)]
    rows: dict[str, list[_Row]] = {"train": [], "valid": []}
    for done, ((split, _), drawn) in enumerate(
        zip(numbers, _run(root, settings, numbers, workers), strict=True), start=1
    ):
        rows[split] += drawn
        if progress is not None:
            progress(done, len(numbers))
    for split, drawn in rows.items():
        _write(root / f"{split}.csv", COLUMNS, (_line(row, row.labels) for row in drawn))
    _write(root / "truth.csv", COLUMNS, (_line(row, row.truth) for drawn in rows.values() for row in drawn))
    objects.write_bytes(str(root / _RECORD), record.encode())


def _run(
    root: Path,
    settings: PhantomSettings,
    numbers: list[tuple[str, int]],
    workers: int | None,
) -> Iterator[list[_Row]]:
    work = partial(_patient, root, settings)
    count = workers or len(os.sched_getaffinity(0))
    if count == 1 or len(numbers) < _WORTH_STARTING:
        yield from map(work, numbers)
        return
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        yield from pool.map(work, numbers, chunksize=16)


def _patient(root: Path, settings: PhantomSettings, which: tuple[str, int]) -> list[_Row]:
    """Draw all studies of one patient; they depend on seed and number alone."""
    split, number = which
    rng = np.random.default_rng([settings.seed, number])
    knobs = settings.knobs
    patient = sample_patient(rng, knobs)
    studies = 1 if split == "valid" else min(_MOST_STUDIES, int(rng.geometric(0.6)))
    rows: list[_Row] = []
    truth: Truth | None = None
    for study in range(1, studies + 1):
        frontal = sample_projection(rng, Knobs(lateral=0.0))
        anew = sample_truth(rng, patient, frontal, knobs)
        truth = anew if truth is None else follow_up(rng, truth, anew)
        labels = truth if split == "valid" else observed(rng, truth, settings.noise)
        beside = rng.random() < knobs.lateral / max(1e-9, 1 - knobs.lateral)
        for view, projection in enumerate([frontal, "LATERAL"] if beside else [frontal], start=1):
            phantom = draw(rng, size=settings.size, truth=truth, knobs=knobs, patient=patient, projection=projection)
            tail = f"{split}/patient{number:05}/study{study}/view{view}_{phantom.view}.jpg"
            _save(root / tail, phantom.pixels)
            rows.append(_Row(f"{PREFIX}/{tail}", patient, phantom.view, phantom.projection, labels, truth))
    return rows


def _save(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=92)


def _line(row: _Row, labels: tuple[Label, ...]) -> list[str]:
    sex = {"M": "Male", "F": "Female"}[row.patient.sex]
    values = ("" if label is None else f"{label:.1f}" for label in labels)
    return [row.path, sex, str(row.patient.age), row.view.capitalize(), row.projection, *values]


def _write(path: Path, header: Iterable[str], lines: Iterable[list[str]]) -> None:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    objects.write_bytes(str(path), text.getvalue().encode())
