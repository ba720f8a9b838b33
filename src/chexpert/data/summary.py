"""A manifest in a few lines, for people."""

import numpy as np

from chexpert.data.manifest import Manifest
from chexpert.data.splits import SPLITS
from chexpert.domain.observations import OBSERVATIONS

__all__ = ["summary"]


def summary(manifest: Manifest) -> list[str]:
    """Lines of images and patients by split, odd rows by kind, and labels by observation."""
    lines = []
    patients = manifest.column("patient")
    for split in SPLITS:
        rows = manifest.rows(split)
        lines.append(f"{split:12} {len(rows):7} images {len(np.unique(patients[rows].astype(str))):7} patients")
    kinds, counts = np.unique(manifest.column("odd").astype(str), return_counts=True)
    lines += [f"odd, kept    {count:7} {kind}" for kind, count in zip(kinds, counts, strict=True) if kind]
    labels = manifest.labels()
    lines.append(f"{'':28} {'1':>7} {'0':>7} {'-1':>7} {'blank':>7}")
    for index, observation in enumerate(OBSERVATIONS):
        column = labels[:, index]
        numbers = [int((column == value).sum()) for value in (1, 0, -1)] + [int(np.isnan(column).sum())]
        lines.append(f"{observation:28} " + " ".join(f"{number:7}" for number in numbers))
    return lines
