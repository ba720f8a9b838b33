"""Two models on the same images: the difference of their mean AUROC, overall and in every slice."""

from dataclasses import dataclass

import numpy as np

from chexpert.domain.errors import InputError
from chexpert.evaluation.bootstrap import Interval, paired_bootstrap
from chexpert.evaluation.evaluation import Evaluation, Rows
from chexpert.evaluation.slices import masks

__all__ = ["NotComparable", "SliceDifference", "difference", "slice_differences"]


class NotComparable(InputError):
    """Two evaluations are not of the same images, or one was read back without them."""

    def __init__(self, first: str, second: str, why: str) -> None:
        super().__init__(f"{first} and {second} cannot be compared: {why}; evaluate both on the same rows in one step")
        self.first = first
        self.second = second
        self.why = why


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """One group's difference, first minus second."""

    slicing: str
    group: str
    images: int
    auroc: Interval


def difference(first: Evaluation, second: Evaluation) -> Interval:
    """Mean AUROC of the first minus that of the second, with a paired 95 % interval.

    Raises:
        NotComparable: not the same images.
    """
    one, other = _rows(first, second)
    arrays = (one.labels, one.scores, other.scores, one.patients)
    return paired_bootstrap(*arrays, rounds=first.rounds, seed=first.seed)


def slice_differences(first: Evaluation, second: Evaluation, *, least_images: int) -> tuple[SliceDifference, ...]:
    """The same within every group of at least so many images; groups too small in each observation are left out.

    Raises:
        NotComparable: not the same images.
    """
    one, other = _rows(first, second)
    found = []
    for slicing, group, rows in masks(one.groups):
        images = int(rows.sum())
        if images < least_images:
            continue
        auroc = paired_bootstrap(
            one.labels[rows],
            one.scores[rows],
            other.scores[rows],
            one.patients[rows],
            rounds=first.rounds,
            seed=first.seed,
        )
        if not np.isnan(auroc.estimate):
            found.append(SliceDifference(slicing, group, images, auroc))
    return tuple(found)


def _rows(first: Evaluation, second: Evaluation) -> tuple[Rows, Rows]:
    if first.rows is None or second.rows is None:
        lacking = first if first.rows is None else second
        raise NotComparable(first.name, second.name, f"{lacking.name} was read from JSON, without its rows")
    if first.rows_digest != second.rows_digest:
        why = f"{first.images} and {second.images} images with other labels or patients"
        raise NotComparable(first.name, second.name, why)
    return first.rows, second.rows
