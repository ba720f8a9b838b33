"""Simulated readers: what one with stated error rates says of a study whose truth is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from chexpert.domain.errors import InputError
from chexpert.domain.labels import PRESENT, UNCERTAIN, Label
from chexpert.domain.observations import OBSERVATIONS, Observation

__all__ = ["PERFECT", "BadErrorRate", "ErrorRates", "ReaderProfile", "answers"]


class BadErrorRate(InputError):
    """A rate outside of [0, 1], or two that add up to more than 1."""

    def __init__(self, rates: str) -> None:
        super().__init__(f"{rates}: each rate lies in [0, 1], and each with the uncertain rate sums to at most 1")


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How often a reader is wrong on one observation."""

    miss: float = 0.1
    """Share of present findings called absent. Retrospective studies of chest films report misses of this order."""
    false: float = 0.05
    """Share of absent findings called present."""
    uncertain: float = 0.05
    """Share of either called uncertain; 0 switches it off."""

    def __post_init__(self) -> None:
        if min(self.miss, self.false, self.uncertain) < 0.0 or max(self.miss, self.false) + self.uncertain > 1.0:
            raise BadErrorRate(str(self))


PERFECT = ErrorRates(miss=0.0, false=0.0, uncertain=0.0)


@dataclass(frozen=True, slots=True)
class ReaderProfile:
    """One simulated reader."""

    name: str
    role: str = "radiologist"
    """As the site knows roles."""
    usual: ErrorRates = field(default_factory=ErrorRates)
    """Rates of every observation that `special` does not name."""
    special: Mapping[Observation, ErrorRates] = field(default_factory=lambda: MappingProxyType({}))

    def rates(self, observation: Observation) -> ErrorRates:
        """The rates that hold for one observation."""
        return self.special.get(observation, self.usual)


def answers(
    truth: tuple[Label, ...],
    reader: ReaderProfile,
    rng: np.random.Generator,
) -> dict[Observation, str]:
    """`present`, `absent` or `uncertain` of each observation whose truth is known; of the others nothing.

    So a yes/no truth, which knows `No Finding` only, answers that alone. A truth of -1 is answered `uncertain`.
    """
    said: dict[Observation, str] = {}
    for observation, label in zip(OBSERVATIONS, truth, strict=True):
        chance = rng.random()  # drawn for unknown ones too: one more known label does not change the others' answers
        if label is None:
            continue
        rates = reader.rates(observation)
        if label == UNCERTAIN or chance < rates.uncertain:
            said[observation] = "uncertain"
        elif label == PRESENT:
            said[observation] = "absent" if chance < rates.uncertain + rates.miss else "present"
        else:
            said[observation] = "present" if chance < rates.uncertain + rates.false else "absent"
    return said
