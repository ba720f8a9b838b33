"""state.json: what is known of one step, so that a run can go on after a kill and be looked at from outside."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Self

from chexpert.pipeline.runner.artifacts import digest, write_atomically
from chexpert.pipeline.runner.results import StepResult, StepStatus

__all__ = ["Attempt", "StepState"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a step's command."""

    started: datetime
    ended: datetime | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class StepState:
    """What state.json holds."""

    name: str
    template: str
    status: StepStatus = StepStatus.WAITING
    digest: str = ""
    """Of command, arguments, input artifacts and package version: unchanged, the outputs may be used again."""
    attempts: tuple[Attempt, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Digest of each artifact it gave."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values of the output parameters."""
    reasons: tuple[str, ...] = ()
    reused: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The state in a step's folder; None where there is none that can be read."""
        try:
            fields = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            attempts = tuple(
                Attempt(
                    started=datetime.fromisoformat(attempt["started"]),
                    ended=datetime.fromisoformat(attempt["ended"]) if attempt["ended"] else None,
                    exit_code=attempt["exit_code"],
                )
                for attempt in fields["attempts"]
            )
            status, reasons = StepStatus(fields["status"]), tuple(fields["reasons"])
            return cls(**{**fields, "status": status, "attempts": attempts, "reasons": reasons})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Replace state.json at once."""
        text = json.dumps(asdict(self), indent=2, default=datetime.isoformat)
        write_atomically(folder / "state.json", text)

    def reusable(self, folder: Path, wanted: str) -> bool:
        """Whether it succeeded on the very same digest, and what it gave still lies there unchanged."""
        if self.status is not StepStatus.SUCCEEDED or self.digest != wanted:
            return False
        paths = {folder / "out" / name: value for name, value in self.outputs.items()}
        return all(path.exists() and digest(path) == value for path, value in paths.items())

    def begun(self, now: datetime) -> "StepState":
        """With one more attempt, running."""
        return replace(self, status=StepStatus.RUNNING, attempts=(*self.attempts, Attempt(started=now)))

    def ended(self, now: datetime, exit_code: int) -> "StepState":
        """With the last attempt ended; the status is the caller's to set."""
        last = replace(self.attempts[-1], ended=now, exit_code=exit_code)
        return replace(self, attempts=(*self.attempts[:-1], last))

    def result(self, folder: Path, *, done: int = 0, total: int = 0) -> StepResult:
        """As a person or the demo sees it."""
        last = self.attempts[-1] if self.attempts else None
        return StepResult(
            name=self.name,
            template=self.template,
            status=self.status,
            folder=folder,
            started=self.attempts[0].started if self.attempts else None,
            ended=last.ended if last else None,
            attempts=len(self.attempts),
            exit_code=last.exit_code if last else None,
            reasons=self.reasons,
            reused=self.reused,
            done=done,
            total=total,
        )
