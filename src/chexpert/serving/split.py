"""Which version takes the next request: smooth weighted round robin, exact over each 100 requests and shorter periods.

Source: nginx's `upstream` balancer; every window of one period (10 requests at 10/90) holds the exact shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from chexpert.domain.errors import InputError

__all__ = ["NothingToSplit", "Split"]


class NothingToSplit(InputError):
    """No version has a share of the traffic."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        super().__init__(f"no version takes traffic: {dict(weights)}")
        self.weights = dict(weights)


@dataclass(frozen=True, slots=True)
class Split:
    """Weights by version name, and the credit each version has gathered."""

    weights: Mapping[str, int]
    """Not negative; a weight of 0 takes nothing."""
    credits: Mapping[str, int] = field(default_factory=dict)

    def choose(self) -> tuple[str, Self]:
        """The version of the next request, and the split after it; NothingToSplit if all weights are 0."""
        sharing = {name: weight for name, weight in self.weights.items() if weight > 0}
        if not sharing:
            raise NothingToSplit(self.weights)
        gathered = {name: self.credits.get(name, 0) + weight for name, weight in sharing.items()}
        chosen = max(gathered, key=lambda name: gathered[name])
        gathered[chosen] -= sum(sharing.values())
        return chosen, type(self)(self.weights, gathered)
