"""What a person or a report says of an observation, and how an uncertain label is read in training."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from chexpert.domain.observations import OBSERVATIONS, PARENTS, Observation

__all__ = ["ABSENT", "DEFAULT_POLICIES", "PRESENT", "UNCERTAIN", "Label", "UncertaintyPolicy", "impute_parents"]

Label = int | None
"""1 present, 0 absent, -1 uncertain, None not mentioned: as CheXpert writes them."""

PRESENT: Final = 1
ABSENT: Final = 0
UNCERTAIN: Final = -1


class UncertaintyPolicy(StrEnum):
    """How -1 becomes a training target."""

    ONES = "ones"
    ZEROS = "zeros"
    SMOOTH_ONES = "smooth-ones"
    SMOOTH_ZEROS = "smooth-zeros"
    IGNORE = "ignore"

    @property
    def interval(self) -> tuple[float, float] | None:
        """Target range in [0, 1], drawn uniformly (Pham 2020, arXiv 1911.06475); None: masked out of the loss."""
        return _INTERVALS[self]


_INTERVALS: Final[Mapping[UncertaintyPolicy, tuple[float, float] | None]] = MappingProxyType(
    {
        UncertaintyPolicy.ONES: (1.0, 1.0),
        UncertaintyPolicy.ZEROS: (0.0, 0.0),
        UncertaintyPolicy.SMOOTH_ONES: (0.55, 0.85),
        UncertaintyPolicy.SMOOTH_ZEROS: (0.0, 0.3),
        UncertaintyPolicy.IGNORE: None,
    },
)

DEFAULT_POLICIES: Final[Mapping[Observation, UncertaintyPolicy]] = MappingProxyType(
    {
        o: UncertaintyPolicy.SMOOTH_ONES
        if o in {Observation.ATELECTASIS, Observation.EDEMA}
        else UncertaintyPolicy.SMOOTH_ZEROS
        for o in OBSERVATIONS
    },
)
"""Irvin, JF Healthcare and LibAUC agree on ones for Atelectasis and Edema."""


def impute_parents(labels: Sequence[Label]) -> tuple[Label, ...]:
    """Set a parent present where a child is present. 14 labels in, 14 out, in the order of OBSERVATIONS."""
    imputed = dict(zip(OBSERVATIONS, labels, strict=True))
    for child, parent in PARENTS.items():
        if imputed[child] == PRESENT:
            imputed[parent] = PRESENT
    return tuple(imputed[o] for o in OBSERVATIONS)
