"""Sample: one image as a sender holds it, with what is true of it; Source: what gives them."""

from dataclasses import dataclass
from typing import Protocol

from chexpert.domain.labels import ABSENT, PRESENT, Label
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.studies import Tier, View

__all__ = ["NO_TRUTH", "Sample", "Source", "is_abnormal", "truth_of_yes_no"]

NO_TRUTH: tuple[Label, ...] = (None,) * len(OBSERVATIONS)
"""Nothing is known: no reader answers, no metric counts it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Encoded bytes and their truth. What a form field needs is text; empty: unknown."""

    name: str
    """Where it came from: a file's path inside its folder, or phantom-<number>."""
    data: bytes
    """PNG, JPEG or DICOM."""
    truth: tuple[Label, ...] = NO_TRUTH
    """14 labels in the order of OBSERVATIONS; None where nothing is known."""
    device: str = ""
    """Name of the device profile that took it; empty: as found in the folder."""
    source: str = ""
    patient: str = ""
    sex: str = ""
    age: int | None = None
    """Years."""
    view: View = View.UNKNOWN
    tier: Tier = Tier.ROUTINE


class Source(Protocol):
    """Gives the sample of a number, from 0 without end."""

    def sample(self, number: int) -> Sample:
        """The same number gives the same sample, so that a run can be taken up again."""
        ...


def truth_of_yes_no(*, abnormal: bool) -> tuple[Label, ...]:
    """A yes/no truth says `No Finding` only: which of the other 13 is present stays unknown."""
    return tuple(
        (ABSENT if abnormal else PRESENT) if observation is Observation.NO_FINDING else None
        for observation in OBSERVATIONS
    )


def is_abnormal(truth: tuple[Label, ...]) -> bool | None:
    """Whether the truth holds any finding but a device; None where it does not say."""
    by_name = dict(zip(OBSERVATIONS, truth, strict=True))
    no_finding = by_name.pop(Observation.NO_FINDING)
    by_name.pop(Observation.SUPPORT_DEVICES)
    if no_finding is not None:
        return no_finding != PRESENT
    if any(label == PRESENT for label in by_name.values()):
        return True
    return None if any(label is None for label in by_name.values()) else False
