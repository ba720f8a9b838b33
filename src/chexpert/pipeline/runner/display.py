"""A live picture of a run on the terminal: the drawing of its DAG, redrawn as it goes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from chexpert.pipeline.graph import drawing
from chexpert.pipeline.runner.results import StepResult, StepStatus
from chexpert.pipeline.workflow.model import Workflow

__all__ = ["display", "log_tails"]


@contextmanager
def display(console: Console, workflow: Workflow) -> Iterator[Callable[[Sequence[StepResult]], None]]:
    """What to give to `run` as `progress`, inside `with`.

    On a terminal the DAG is redrawn in place; elsewhere one line is printed for each change of a step.
    """
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield lambda steps: live.update(drawing(workflow, steps, datetime.now(UTC)))


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, StepStatus] = {}

    def __call__(self, steps: Sequence[StepResult]) -> None:
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
