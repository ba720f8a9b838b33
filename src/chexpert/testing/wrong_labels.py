"""A training set whose labels belong to other images: the fault that only an evaluation can see."""

import csv
from pathlib import Path

import numpy as np

__all__ = ["permute_labels"]

FIRST_LABEL = 5
"""Column of the first label in CheXpert's CSV: after Path, Sex, Age, Frontal/Lateral and AP/PA."""


def permute_labels(source: Path, target: Path, *, seed: int = 0) -> None:
    """Write the CheXpert folder `target`: images of `source` (linked), valid.csv as it is, train.csv's labels permuted.

    Whole rows of labels change places, so that counts and co-occurrence stay as they were.
    """
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        link = target / entry.name
        if entry.name != "train.csv" and not link.exists():
            link.symlink_to(entry.resolve())
    with (source / "train.csv").open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    order = np.random.default_rng(seed).permutation(len(rows))
    with (target / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(row[:FIRST_LABEL] + rows[other][FIRST_LABEL:] for row, other in zip(rows, order, strict=True))
