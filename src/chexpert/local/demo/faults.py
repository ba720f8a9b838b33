"""The faults a demo can plant. Each comes from outside: product code knows none of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from chexpert.domain.errors import InputError

__all__ = ["FAULTS", "HEALTHY", "Fault", "UnknownFault", "fault"]

HEALTHY: Final = "the retrained version is stable in production"
"""How the story ends when nothing is planted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault and where the platform should stop it."""

    name: str
    planted: str
    expected: str


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            Fault("wrong-labels", "the candidate's training labels are permuted", "refused at evaluate"),
            Fault("nan", "the candidate's bundle answers NaN for blank images", "refused at load-test"),
            Fault("slow", "a proxy slows the canary's model calls, once staging passed", "returned at 10 %"),
            Fault("errors", "a proxy fails the canary's model calls, once staging passed", "returned at 10 %"),
            Fault(
                "shifted-images", "the simulator shifts the traffic at 10 %", "drift alarm, the rollout waits at 10 %"
            ),
        )
    },
)


class UnknownFault(InputError):
    """No such fault."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no fault {name!r}: choose from {', '.join(FAULTS)}, or leave FAULT empty")
        self.name = name


def fault(name: str) -> Fault | None:
    """The fault of that name; None for an empty one."""
    if not name:
        return None
    try:
        return FAULTS[name]
    except KeyError:
        raise UnknownFault(name) from None
