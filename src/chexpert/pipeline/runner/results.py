"""What came of a run: of each step, and of the whole."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from chexpert.pipeline.invocation import DONE, FAULT, REFUSED

__all__ = ["ENDED", "RunResult", "RunStatus", "StepResult", "StepStatus"]


class StepStatus(StrEnum):
    """Where a step stands."""

    WAITING = "waiting"
    """For what it depends on, for a free place, or for its next try."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    """A gate refused: exit 3."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Its `when` did not hold; what depends on it goes on."""
    OMITTED = "omitted"
    """What it depends on did not succeed, or the run was stopping."""


ENDED: Final = frozenset(StepStatus) - {StepStatus.WAITING, StepStatus.RUNNING}


class RunStatus(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step, or one item of a fan-out."""

    name: str
    """Task name; `name.0`, `name.1` … for the items of a fan-out."""
    template: str
    status: StepStatus
    folder: Path
    """Holds in/, out/, log and state.json."""
    started: datetime | None = None
    ended: datetime | None = None
    attempts: int = 0
    exit_code: int | None = None
    """Of the last attempt; negative: ended by that signal."""
    reasons: tuple[str, ...] = ()
    """Why it refused or failed."""
    reused: bool = False
    """Taken over from an earlier run of the same folder."""
    done: int = 0
    total: int = 0
    """Progress as the step tells it, `done` of `total`; 0 of 0: it tells none."""

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "log"

    @property
    def took(self) -> timedelta | None:
        """From its first start to its end; None while it runs."""
        return self.ended - self.started if self.started and self.ended else None


@dataclass(frozen=True, slots=True)
class RunResult:
    """The whole run."""

    run: str
    status: RunStatus
    steps: tuple[StepResult, ...]
    folder: Path

    @property
    def refused(self) -> StepResult | None:
        """The step whose gate refused."""
        return next((step for step in self.steps if step.status is StepStatus.REFUSED), None)

    @property
    def culprits(self) -> tuple[StepResult, ...]:
        """Steps that refused or failed."""
        return tuple(step for step in self.steps if step.status in {StepStatus.REFUSED, StepStatus.FAILED})

    @property
    def exit_code(self) -> int:
        """0 succeeded, 3 refused by a gate, 1 failed."""
        return {RunStatus.SUCCEEDED: DONE, RunStatus.REFUSED: REFUSED, RunStatus.FAILED: FAULT}[self.status]

    def step(self, name: str) -> StepResult:
        """The step of that name; KeyError if there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)
