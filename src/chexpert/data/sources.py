"""Any folder the house knows, to a manifest whose splits are apart."""

from collections.abc import Callable
from pathlib import Path

from chexpert.data import chexpert_csv, folder, splits
from chexpert.data.errors import Refusal
from chexpert.data.manifest import Manifest
from chexpert.data.source_folder import open_folder

__all__ = ["read"]


def read(
    source: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Manifest, tuple[Refusal, ...]]:
    """Read a folder with labels.csv, or CheXpert's layout.

    Images of an object store stand with their URI in the manifest. Their checksums come from the record that
    `chexpert data upload` left beside them; objects without one are read whole, once (see `checksums.of_objects`).

    Args:
        source: the folder: a path, or an fsspec URI such as s3://chexpert/uploads.
        progress: called with files checked and their number.

    Returns:
        The manifest without rows whose patient or image stands in a later split, and a refusal for each of those.

    Raises:
        UnreadableData: what is wrong with the tables, and where; no such bucket, or access denied.
        SourceUnavailable: the object store does not answer; try again.
    """
    opened = open_folder(source)
    reader = folder.read if opened.has(folder.TABLE) else chexpert_csv.read
    return splits.keep_apart(reader(opened, progress=progress))
