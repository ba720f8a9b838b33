"""Which split a patient belongs to, and what keeps splits apart.

The split is a hash of the patient key with a salt, so it needs no table, and holds for patients not seen yet.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chexpert.data.errors import Refusal
from chexpert.data.manifest import Manifest

__all__ = ["EVALUATION_SPLITS", "FRACTIONS", "SALT", "SPLITS", "assign", "keep_apart", "split_of"]

SPLITS: Final = ("train", "tune", "calibration", "valid")
"""Training rows; early stopping; operating points and calibration; CheXpert's own validation set, for the verdict."""

EVALUATION_SPLITS: Final = SPLITS[1:]

SALT: Final = "chexpert-splits-2026"
"""Changing it moves patients between splits: then no earlier figure can be compared."""

FRACTIONS: Final = (0.80, 0.05, 0.15)
"""Shares of train, tune and calibration among patients outside valid.csv."""


def split_of(patient: str) -> str:
    """Split of a patient key that stands in no validation list."""
    share = int.from_bytes(sha256(f"{SALT}:{patient}".encode()).digest()[:8]) / 2**64
    return SPLITS[int(np.searchsorted(np.cumsum(FRACTIONS[:-1]), share, side="right"))]


def assign(patients: Sequence[str] | NDArray[np.object_]) -> list[str]:
    """Split of each patient key, in order; each key is hashed once."""
    known = {patient: split_of(patient) for patient in set(patients)}
    return [known[patient] for patient in patients]


def keep_apart(manifest: Manifest) -> tuple[Manifest, tuple[Refusal, ...]]:
    """Leave out rows whose patient or image stands in a later split, the later one of SPLITS keeping them.

    Returns:
        The manifest without them, order kept, and one refusal for each.
    """
    split = manifest.column("split")
    rank = np.array([SPLITS.index(name) for name in split], np.int8)
    patient_rank = _highest(manifest.column("patient"), rank)
    keys = manifest.column("sha256")
    image_rank = np.where(keys == "", rank, _highest(keys, rank))  # a missing file has no checksum to share
    out = np.flatnonzero((rank < patient_rank) | (rank < image_rank))
    refusals = []
    for row in out:
        by_patient = rank[row] < patient_rank[row]
        what = f"its patient {manifest.column('patient')[row]}" if by_patient else "the same image"
        where = SPLITS[patient_rank[row] if by_patient else image_rank[row]]
        refusals.append(
            Refusal(
                study=manifest.column("study")[row],
                sha256=keys[row],
                image_path=manifest.column("image_path")[row],
                reason=f"{what} is in {where}, the row in {split[row]}",
            ),
        )
    kept = manifest.select(np.setdiff1d(np.arange(len(manifest)), out)) if refusals else manifest
    return kept, tuple(refusals)


def _highest(keys: NDArray[np.object_], rank: NDArray[np.int8]) -> NDArray[np.int8]:
    """For each row the highest rank among the rows with its key."""
    _, inverse = np.unique(keys.astype(str), return_inverse=True)
    highest = np.zeros(inverse.max(initial=-1) + 1, np.int8)
    np.maximum.at(highest, inverse, rank)
    return highest[inverse]
