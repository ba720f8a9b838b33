"""A folder of images with a yes/no truth: labels.csv with at least the columns `file` and `abnormal`."""

import csv
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

from chexpert.data import splits
from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.source_folder import SourceFolder, open_folder
from chexpert.domain.observations import Observation
from chexpert.domain.studies import View

__all__ = ["TABLE", "read"]

TABLE: Final = "labels.csv"
_NEEDED: Final = ("file", "abnormal")
_ABNORMAL: Final = {"1": 0, "0": 1, "": None}
"""`abnormal` to No Finding: a yes/no truth answers nothing else."""


def read(
    folder: SourceFolder | Path | str,
    *,
    source: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read the folder.

    Args:
        folder: path or fsspec URI, with labels.csv. Used where present: view (AP, PA, lateral), patient, sex, age,
            paediatric, licence, source. A row without a patient is its own patient, by its checksum.
        source: stands for rows that name none; empty: the folder's name.
        progress: called with files checked and their number.

    Raises:
        UnreadableData: which line and what is wrong.
        SourceUnavailable: the object store does not answer.
    """
    root = open_folder(folder)
    table = root.address_of(TABLE)
    rows = _rows(root)
    paths = [root.address_of(row["file"]) for row in rows]
    digests = root.sha256(paths, progress)
    patients = [row.get("patient") or digest for row, digest in zip(rows, digests, strict=True)]
    projections = [row.get("view", "").partition(" ")[0].upper() for row in rows]
    columns: dict[str, Any] = {
        "image_path": paths,
        "sha256": digests,
        "patient": patients,
        "study": [f"{patient}/{digest[:12]}" for patient, digest in zip(patients, digests, strict=True)],
        "view": [_view(projection) for projection in projections],
        "projection": [p if p in {"AP", "PA"} else "" for p in projections],
        "sex": [row.get("sex", "") if row.get("sex", "") in {"M", "F"} else "" for row in rows],
        "age": [_age(table, line, row) for line, row in enumerate(rows, start=2)],
        "split": splits.assign(patients),
        "source": [row.get("source") or source or root.name for row in rows],
        "licence": [row.get("licence") or "unknown" for row in rows],
        "odd": ["paediatric" if row.get("paediatric") == "1" else "" for row in rows],
        str(Observation.NO_FINDING): [_ABNORMAL[row["abnormal"].strip()] for row in rows],
    }
    return Manifest.of(columns, len(rows))


def _rows(folder: SourceFolder) -> Sequence[Mapping[str, str]]:
    uri = folder.address_of(TABLE)
    try:
        lines = StringIO(folder.read(TABLE).decode(), newline="")
        rows = [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(lines)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableData(uri, reason=f"no table of labels: {error}") from error
    for line, row in enumerate(rows, start=2):
        if missing := [name for name in _NEEDED if name not in row]:
            raise UnreadableData(uri, reason=f"columns {', '.join(missing)} are missing")
        if not row["file"]:
            raise UnreadableData(uri, reason=f"line {line}: file is blank")
        if row["abnormal"].strip() not in _ABNORMAL:
            raise UnreadableData(uri, reason=f"line {line}: abnormal {row['abnormal']!r} is not 1, 0 or blank")
    return rows


def _view(projection: str) -> str:
    if projection in {"AP", "PA", "FRONTAL"}:
        return View.FRONTAL
    return View.LATERAL if projection in {"L", "LL", "RL", "LATERAL"} else View.UNKNOWN


def _age(uri: str, line: int, row: Mapping[str, str]) -> int | None:
    try:
        return int(float(row["age"])) if row.get("age") else None
    except ValueError as error:
        raise UnreadableData(uri, reason=f"line {line}: age {row['age']!r} is no age in years") from error
