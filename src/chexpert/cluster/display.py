"""A run on the terminal: a live table of its steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chexpert.cluster.runs import Run, Step

__all__ = ["display", "ending", "table"]

_STYLES: Final = {"Succeeded": "green", "Running": "cyan", "Failed": "red", "Error": "red", "Pending": "yellow"}


def table(run: Run, now: datetime) -> Table:
    """Step, phase, seconds, message and exit code of every step.

    Args:
        run: As it was last seen.
        now: The present, for steps that run.
    """
    drawn = Table(
        "step", "phase", "time", "tries", "exit", "message", title=f"{run.name}: {run.outcome} {run.progress}"
    )
    for step in run.steps:
        took = step.took(now)
        drawn.add_row(
            Text(step.name),
            f"[{_STYLES.get(step.phase, 'dim')}]{_phase(step)}[/]",
            f"{took.total_seconds():.0f} s" if took is not None else "",
            str(step.tries) if step.tries > 1 else "",
            "" if step.exit_code is None else str(step.exit_code),
            Text(step.message),
        )
    return drawn


def ending(run: Run) -> str:
    """How a run ended, in one line."""
    culprits = [step for step in run.steps if step.refused or step.failed]
    said = "".join(f"; {step.name}: {step.message or _phase(step)}" for step in culprits if not step.refused)
    refused = "".join(f"; {step.name} refused" for step in culprits if step.refused)
    return f"{run.name}: {run.outcome}{refused}{said or (f'; {run.message}' if run.message and not refused else '')}"


@contextmanager
def display(console: Console) -> Iterator[Callable[[Run], None]]:
    """What to give to `watch`, inside `with`.

    On a terminal the table is redrawn in place; elsewhere one line is printed for each change of a step.
    """
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda run: live.update(table(run, datetime.now(UTC)))


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, tuple[str, int]] = {}

    def __call__(self, run: Run) -> None:
        now = datetime.now(UTC)
        for step in run.steps:
            state = (step.phase, step.tries)
            if self._seen.get(step.name) != state:
                took = step.took(now) if step.ended else None
                seconds = f" {took.total_seconds():.0f} s" if took is not None else ""
                exit_code = f" (exit {step.exit_code})" if step.exit_code else ""
                said = f": {step.message}" if step.message else ""
                self._console.print(f"{step.name}: {_phase(step)}{seconds}{exit_code}{said}", markup=False)
            self._seen[step.name] = state


def _phase(step: Step) -> str:
    return "Refused" if step.refused else step.phase
