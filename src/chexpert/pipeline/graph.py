"""The DAG of a workflow as text, with states and times where a run folder is given."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from chexpert.pipeline.runner.results import StepResult, StepStatus
from chexpert.pipeline.runner.state import StepState
from chexpert.pipeline.workflow.model import Task, Workflow
from chexpert.pipeline.workflow.references import ancestors

__all__ = ["MARKS", "drawing", "levels", "recorded"]

MARKS: Mapping[StepStatus, tuple[str, str]] = {
    StepStatus.WAITING: ("○", "dim"),
    StepStatus.RUNNING: ("◐", "cyan"),
    StepStatus.SUCCEEDED: ("●", "green"),
    StepStatus.REFUSED: ("◆", "yellow"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("·", "dim"),
    StepStatus.OMITTED: ("·", "dim"),
}
"""Sign and colour of each status."""

_BAR_CELLS = 24


def levels(workflow: Workflow) -> tuple[tuple[Task, ...], ...]:
    """Tasks by their distance from the start: those of one level may run at the same time."""
    tasks = {task.name: task for task in workflow.tasks()}
    depth: dict[str, int] = {}
    for name in sorted(tasks, key=lambda name: len(ancestors(tasks)[name])):
        depth[name] = 1 + max((depth[other] for other in tasks[name].dependencies), default=-1)
    return tuple(
        tuple(task for task in tasks.values() if depth[task.name] == level)
        for level in range(1 + max(depth.values(), default=-1))
    )


def recorded(workflow: Workflow, folder: Path) -> tuple[StepResult, ...]:
    """What state.json files of a run folder say, in the order of the file; steps not begun are left out."""
    names = [task.name for task in workflow.tasks()] + ([workflow.on_exit] if workflow.on_exit else [])
    found = []
    for name in names:
        items = sorted(folder.glob(f"{name}.[0-9]*"), key=lambda path: int(path.name.rpartition(".")[2]))
        for path in (folder / name, *items):
            state = StepState.read(path)
            if state is not None:
                found.append(state.result(path))
    return tuple(found)


def drawing(workflow: Workflow, steps: Sequence[StepResult], now: datetime) -> Table:
    """One line for each step: a sign, what it comes after, how long it took, and when, as a bar.

    Args:
        workflow: whose tasks are drawn.
        steps: what is known of them; none: the bare DAG.
        now: the end of the bars of what still runs.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("step", "after", *(("state", "time", "") if steps else ())):
        table.add_column(heading, no_wrap=heading != "after")
    starts = [step.started for step in steps if step.started and not step.reused]
    ends = [step.ended or now for step in steps if step.started and not step.reused]
    span = (min(starts, default=now), max(ends, default=now))
    drawn = set()
    for level in levels(workflow):
        for task in level:
            branch = "" if len(level) == 1 else ("┌ " if task is level[0] else "└ " if task is level[-1] else "├ ")
            after = ", ".join(task.dependencies) + (f"  when {task.when.text}" if task.when else "")
            mine = [step for step in steps if step.name == task.name or step.name.startswith(f"{task.name}.")]
            drawn |= {step.name for step in mine}
            rows: list[StepResult | None] = [*mine] or [None]
            for step in rows:
                table.add_row(
                    *_row(step, branch + (step.name if step else task.name), after, span, now, full=bool(steps))
                )
    for step in steps:
        if step.name not in drawn:
            table.add_row(*_row(step, step.name, "on exit", span, now, full=True))
    return table


def _row(
    step: StepResult | None, name: str, after: str, span: tuple[datetime, datetime], now: datetime, *, full: bool
) -> list[Text]:
    sign, colour = MARKS[step.status if step else StepStatus.WAITING]
    row = [Text.assemble((sign, colour), " ", name), Text(after, style="dim")]
    if not full:
        return row
    if step is None:
        return [*row, Text("waiting", style="dim"), Text(""), Text("")]
    words = "reused" if step.reused else str(step.status)
    if step.attempts > 1:
        words += f" (try {step.attempts})"
    seconds = ((step.ended or now) - step.started).total_seconds() if step.started and not step.reused else None
    time = Text("" if seconds is None else f"{seconds:.1f} s", justify="right")
    bar = Text(_bar(step, span, now), style=colour)
    if step.reasons:
        bar = Text("; ".join(step.reasons), style=colour)
    elif step.status is StepStatus.RUNNING and step.total:
        bar.append(f" {step.done}/{step.total}")
    return [*row, Text(words, style=colour), time, bar]


def _bar(step: StepResult, span: tuple[datetime, datetime], now: datetime) -> str:
    whole = (span[1] - span[0]).total_seconds()
    if step.started is None or step.reused or whole <= 0:
        return ""
    left = round((step.started - span[0]).total_seconds() / whole * _BAR_CELLS)
    right = round(((step.ended or now) - span[0]).total_seconds() / whole * _BAR_CELLS)
    return " " * left + "━" * max(1, right - left)
