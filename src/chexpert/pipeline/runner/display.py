"""A live picture of a run on the terminal: the drawing of its DAG, redrawn as it goes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from chexpert.pipeline.graph import drawing
from chexpert.pipeline.runner.results import StepResult, StepStatus
from chexpert.pipeline.workflow.model import Workflow

__all__ = ["Display", "log_tails"]


class Display:
    """Watches a run: give it to `run` as `progress`, inside `with`.

    On a terminal the DAG is redrawn in place; elsewhere one line is printed for each change of a step.
    """

    def __init__(self, console: Console, workflow: Workflow) -> None:
        self._console, self._workflow = console, workflow
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._seen: dict[str, StepStatus] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, steps: Sequence[StepResult]) -> None:
        """Show where the steps stand."""
        if self._live is not None:
            self._live.update(drawing(self._workflow, steps, datetime.now(UTC)))
            return
        for step in steps:
            if self._seen.get(step.name) is not step.status and step.status is not StepStatus.WAITING:
                took = f" {step.took.total_seconds():.1f} s" if step.took and not step.reused else ""
                reasons = f": {'; '.join(step.reasons)}" if step.reasons else ""
                self._console.print(f"{step.name}: {'reused' if step.reused else step.status}{took}{reasons}")
            self._seen[step.name] = step.status


def log_tails(steps: Sequence[StepResult], lines: int = 15) -> str:
    """The last lines of each step's log, under its name."""
    parts = []
    for step in steps:
        text = step.log.read_text(encoding="utf-8", errors="replace") if step.log.exists() else ""
        tail = text.splitlines()[-lines:]
        parts.append("\n".join([f"── {step.name}: {step.log}", *tail]))
    return "\n".join(parts)
