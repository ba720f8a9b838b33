"""Any folder the house knows, to a manifest whose splits are apart."""

from collections.abc import Callable
from pathlib import Path

from chexpert.data import chexpert_csv, folder, splits
from chexpert.data.errors import Refusal
from chexpert.data.manifest import Manifest

__all__ = ["read"]


def read(
    source: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Manifest, tuple[Refusal, ...]]:
    """Read a folder with labels.csv, or CheXpert's layout.

    Args:
        source: the folder.
        progress: called with files checked and their number.

    Returns:
        The manifest without rows whose patient or image stands in a later split, and a refusal for each of those.

    Raises:
        UnreadableData: what is wrong with the tables, and where.
    """
    reader = folder.read if (Path(source) / folder.TABLE).exists() else chexpert_csv.read
    return splits.keep_apart(reader(source, progress=progress))
