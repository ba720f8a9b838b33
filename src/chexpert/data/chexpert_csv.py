"""CheXpert v1.0: train.csv and valid.csv beside the folders train and valid.

Both releases (prefix `CheXpert-v1.0/` and `CheXpert-v1.0-small/`) and mirrors that strip or add a prefix are read: only
`patient…/study…/view….jpg` counts. Odd rows (age 0, sex Unknown, projection LL) are kept, and said so in `odd`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from chexpert.data import splits
from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.source_folder import SourceFolder, open_folder
from chexpert.domain.observations import OBSERVATIONS

__all__ = ["COLUMNS", "FILES", "read"]

FILES: Final = ("train.csv", "valid.csv")
COLUMNS: Final = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *(str(o) for o in OBSERVATIONS))
"""Header of both files."""

_PATH: Final = (
    r"(?P<patient>patient\d+)/(?P<study>study\d+)/(?P<file>view\d+_(?:frontal|lateral)\.(?:jpg|jpeg|png|dcm))$"
)
_SEXES: Final = {"Male": "M", "Female": "F"}


def read(
    folder: SourceFolder | Path | str,
    *,
    source: str = "",
    licence: str = "unknown",
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read a CheXpert folder, or the folder that holds it.

    Args:
        folder: path or fsspec URI, with train.csv, valid.csv or both.
        source: name of the data; empty: the folder's name.
        licence: of the images.
        progress: called with files checked and their number.

    Returns:
        Rows of train.csv split by the salted hash, then those of valid.csv as `valid`. A missing file has an empty
        checksum.

    Raises:
        UnreadableData: which file, row and column, and what is wrong.
        SourceUnavailable: the object store does not answer.
    """
    root = _root(open_folder(folder))
    tables = [_read_file(root, name) for name in FILES if root.has(name)]
    rows = pa.concat_tables(tables)
    paths = rows.column("image_path").to_pylist()
    columns: dict[str, Any] = {name: rows.column(name).combine_chunks() for name in rows.column_names}
    columns["sha256"] = root.sha256(paths, progress)
    columns |= {"source": source or root.name, "licence": licence}
    return Manifest.of(columns, len(paths))


def _root(folder: SourceFolder) -> SourceFolder:
    for candidate in (folder, *folder.folders()):
        if any(candidate.has(name) for name in FILES):
            return candidate
    raise UnreadableData(folder.address, reason=f"neither {' nor '.join(FILES)} in it or in a folder of it")


def _read_file(root: SourceFolder, name: str) -> pa.Table:
    uri = root.address_of(name)
    text = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in COLUMNS[:5]} | {name: pa.float64() for name in COLUMNS[5:]},
        null_values=[""],
        strings_can_be_null=False,
    )
    try:
        rows = pa.csv.read_csv(pa.BufferReader(root.read(name)), convert_options=text)
    except pa.ArrowInvalid as error:
        raise UnreadableData(uri, reason=str(error).splitlines()[0]) from error
    if missing := [column for column in COLUMNS if column not in rows.column_names]:
        raise UnreadableData(uri, reason=f"columns {', '.join(missing)} are missing")
    parts = pc.extract_regex(rows.column("Path").combine_chunks(), _PATH)
    _refuse_first(uri, pc.is_null(parts).to_numpy(False), rows.column("Path"), "Path", "has no patient/study/view")
    patients = parts.field("patient")
    studies = pc.binary_join_element_wise(patients, parts.field("study"), "/")
    tails = pc.binary_join_element_wise(studies, parts.field("file"), "/")
    split = name.removesuffix(".csv")
    columns: dict[str, Any] = {
        "image_path": pc.binary_join_element_wise(_images(root, split, tails), tails, "/"),
        "patient": patients,
        "study": studies,
        "view": pc.utf8_lower(rows.column("Frontal/Lateral")).combine_chunks(),
        "projection": rows.column("AP/PA").combine_chunks(),
        "sex": pa.array([_SEXES.get(sex, "") for sex in rows.column("Sex").to_pylist()]),
        "age": _ages(uri, rows.column("Age")),
        "split": "valid" if split == "valid" else splits.assign(patients.to_pylist()),
        "odd": _odd(rows),
    }
    columns |= {str(o): _labels(uri, rows.column(str(o)), str(o)) for o in OBSERVATIONS}
    return Manifest.of(columns, rows.num_rows).table


def _images(root: SourceFolder, split: str, tails: pa.Array) -> str:
    """Address of the folder in which the first image lies: <root>/train, or <root> in mirrors without it."""
    first = tails[0].as_py() if len(tails) else ""
    bare = not root.has(f"{split}/{first}") and root.has(first)
    return root.address if bare else root.address_of(split)


def _labels(uri: str, column: pa.ChunkedArray, name: str) -> pa.Array:
    values = column.to_numpy()
    _refuse_first(
        uri, ~(np.isin(values, (1.0, 0.0, -1.0)) | np.isnan(values)), column, name, "is not 1, 0, -1 or blank"
    )
    return pc.cast(column, pa.int8()).combine_chunks()


def _ages(uri: str, column: pa.ChunkedArray) -> pa.Array:
    known = pc.if_else(pc.equal(column, ""), None, column).combine_chunks()
    bad = pc.fill_null(pc.invert(pc.match_substring_regex(known, r"^\d{1,3}(\.0)?$")), fill_value=False)
    _refuse_first(uri, bad.to_numpy(False), column, "Age", "is no age in years")
    return pc.cast(pc.cast(known, pa.float64()), pa.int16())


def _odd(rows: pa.Table) -> list[str]:
    columns = (rows.column(name).to_pylist() for name in ("Sex", "Age", "Frontal/Lateral", "AP/PA"))
    return [_remark(*values) for values in zip(*columns, strict=True)]


def _remark(sex: str, age: str, view: str, projection: str) -> str:
    remarks = []
    if sex not in _SEXES:
        remarks.append(f"sex {sex or 'blank'}")
    if age in {"", "0", "0.0"}:
        remarks.append(f"age {age or 'blank'}")
    if projection not in ({"AP", "PA"} if view == "Frontal" else {""}):
        remarks.append(f"projection {projection or 'blank'} of a {view.lower()} view")
    return "; ".join(remarks)


def _refuse_first(uri: str, bad: NDArray[np.bool_], column: pa.ChunkedArray, name: str, wrong: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        more = f", and {bad.sum() - 1} more" if bad.sum() > 1 else ""
        raise UnreadableData(uri, reason=f"line {row + 2}: {name} {column[row].as_py()!r} {wrong}{more}")
