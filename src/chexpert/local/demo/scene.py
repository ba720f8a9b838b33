"""What every chapter of a demo shares."""

from dataclasses import dataclass

from chexpert.local.demo.display import Display
from chexpert.local.demo.plan import Plan
from chexpert.local.demo.record import Record
from chexpert.local.home import Home

__all__ = ["Scene"]


@dataclass(frozen=True, slots=True)
class Scene:
    """One demo run."""

    plan: Plan
    home: Home
    display: Display
    record: Record
    turn: int
    """Number of this run in its home, from 0: other studies, another candidate each time."""
