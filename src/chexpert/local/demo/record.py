"""What the demo saw: rows for the table and the page, and how long each phase took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Phase", "Record", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the summary."""

    part: str
    what: str
    seen: str
    link: str = ""
    """URL or path of the evidence, empty: none."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One timed part; `budget_s` None: no budget was set for it."""

    name: str
    seconds: float
    budget_s: float | None = None


@dataclass(slots=True)
class Record:
    """Grows as the demo goes on."""

    rows: list[Row] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    expected: str = ""
    """Stage at which the story should end."""
    accepted: tuple[str, ...] = ()
    """Beginnings of `seen` that are as good; empty: `expected` alone."""
    seen: str = ""
    """Stage at which it did end."""
    broken: list[str] = field(default_factory=list)
    """Promises that did not hold on the way, whatever the end was."""

    def say(self, part: str, what: str, seen: str, link: str = "") -> None:
        """Add a line."""
        self.rows.append(Row(part, what, seen, link))

    @contextmanager
    def timed(self, name: str, budget_s: float | None = None) -> Iterator[None]:
        """Time the block as a phase."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.took(name, time.monotonic() - started, budget_s)

    def took(self, name: str, seconds: float, budget_s: float | None = None) -> None:
        """Add a phase, or its time to the one of that name."""
        for number, phase in enumerate(self.phases):
            if phase.name == name:
                self.phases[number] = Phase(name, phase.seconds + seconds, phase.budget_s)
                return
        self.phases.append(Phase(name, seconds, budget_s))

    @property
    def as_expected(self) -> bool:
        """Whether the story ended where it should, with every promise held."""
        return self.seen.startswith(self.accepted or (self.expected,)) and not self.broken
