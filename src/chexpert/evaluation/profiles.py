"""The floors of a gate, by name: what may be asked depends on how many images there are and whose they are."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from chexpert.domain.errors import InputError

__all__ = ["PROFILES", "Profile", "UnknownProfile", "get"]


class UnknownProfile(InputError):
    """No profile of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no profile is called {name!r}: choose one of {', '.join(PROFILES)}")
        self.name = name


_NO_FLOORS: Final = frozenset({"about", "target_sensitivity"})


@dataclass(frozen=True, slots=True)
class Profile:
    """What a candidate must reach. A floor of None is off."""

    name: str
    about: str
    """For whom, in one sentence."""
    least_mean: float | None = 0.5
    """Floor of the lower bound of the mean AUROC; .5 is chance."""
    least_competition: float | None = None
    """Floor of the lower bound of the mean AUROC of the five competition tasks."""
    beat_baseline_by: float | None = 0.0
    """The paired lower bound of candidate minus shortcut baseline must be above this."""
    incumbent_margin: float | None = 0.02
    """The paired lower bound of candidate minus incumbent must be at least minus this."""
    slice_margin: float | None = 0.05
    """A slice refuses if the candidate is worse by more than this and the paired interval lies below zero.

    Shown to be worse, not merely not shown to be equal: a dozen slices would otherwise refuse equal models by chance.
    """
    slice_images: int = 100
    """Smaller slices are reported and do not refuse."""
    most_expected_error: float | None = None
    """Ceiling of the mean ECE over the observations in the mean."""
    target_sensitivity: float = 0.9
    """What the lower bound of each operating point aims at. It is held by each of twelve observations
    that may flag: on phantoms a small model at 0.9 flags every normal image, at 0.5 22 % of them and 93 % of others."""

    def thresholds(self) -> dict[str, Any]:
        """What a verdict records."""
        return {name: value for name, value in asdict(self).items() if name not in _NO_FLOORS}

    def __str__(self) -> str:
        floors = [f"{name} {value}" for name, value in self.thresholds().items() if name != "name"]
        return f"profile {self.name} ({self.about}): {', '.join(floors)}"


_ALL: Final = (
    Profile(
        name="phantom",
        about="drawn radiographs with exact truth, networks under 1 M parameters, minutes of training",
        least_mean=0.65,
        # Two seeds of one recipe were .016 apart, with an interval of .024 either way: less would refuse equals.
        incumbent_margin=0.06,
        slice_margin=0.08,
        most_expected_error=0.25,
        target_sensitivity=0.5,
    ),
    Profile(
        name="small-real",
        about="hundreds of real images: the one honest floor is to beat what five image statistics predict",
        least_mean=None,
        incumbent_margin=0.1,
        slice_margin=None,
        target_sensitivity=0.5,
    ),
    Profile(
        name="chexpert",
        about="the whole of CheXpert; single networks reach .89 to .91 of the five tasks, with .02 to .04 of interval",
        least_mean=0.75,
        least_competition=0.85,
        beat_baseline_by=0.05,
        incumbent_margin=0.01,
        slice_margin=0.05,
        most_expected_error=0.1,
    ),
)

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({profile.name: profile for profile in _ALL})


def get(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UnknownProfile: Listing the names there are.
    """
    if name not in PROFILES:
        raise UnknownProfile(name)
    return PROFILES[name]
