"""Logs of a run's steps: each step's main container, and why a gate refused."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from chexpert.cluster.errors import UnknownStep
from chexpert.cluster.runs import Run, Step, parse
from chexpert.cluster.workflows import POLL, Workflows
from chexpert.data import objects
from chexpert.domain.errors import ChexpertError, RetryableError
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict

__all__ = ["Sink", "follow", "reasons", "show", "tail"]

Sink = Callable[[str, str], None]
"""Takes a step's name and one line; called from several threads at once when steps are followed."""

_REFUSED: Final = "refused: "
"""How a step begins the lines that say why."""


def show(workflows: Workflows, name: str, step: str, sink: Sink) -> None:
    """What the steps printed so far, one after the other.

    Args:
        workflows: Where the run is.
        name: Of the run.
        step: Name of one step; empty: all of them.
        sink: Takes the lines.

    Raises:
        UnknownRun: There is no such run.
        UnknownStep: The run has no such step, or it has not begun.
    """
    run = parse(workflows.read(name))
    for begun in _begun(run, step):
        found = False
        for line in workflows.log(name, begun, follow=False):
            if not _of_argo(line):
                found = True
                sink(begun.name, line)
        if not found:
            sink(begun.name, "(no log: it printed nothing, or its pod is gone as podGC tells)")


def follow(
    workflows: Workflows,
    name: str,
    step: str,
    sink: Sink,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """The same, and whatever comes, until the run has ended; steps at once are followed at once.

    A broken connection is made anew, and lines already given are passed over.
    """
    run = parse(workflows.read(name))
    if step and run.ended:
        _begun(run, step)
    following: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(max_workers=32, thread_name_prefix="log") as pool:
        while True:
            for begun in run.steps:
                if begun.node and begun.node not in following and step in {"", begun.name} and begun.phase != "Pending":
                    following[begun.node] = pool.submit(_follow, workflows, name, begun, sink, sleep)
            if run.ended:
                break
            sleep(POLL.total_seconds())
            try:
                run = parse(workflows.read(name))
            except RetryableError:
                continue
    for followed in following.values():
        followed.result()
    return run


def tail(workflows: Workflows, run: Run, lines: int = 15) -> str:
    """The last lines of each failed step's log, under its name."""
    parts = []
    for step in run.steps:
        if step.failed and step.node:
            kept = _lines(workflows, run.name, step)[-lines:]
            parts.append("\n".join([f"── {step.name}: {step.pod}", *kept]))
    return "\n".join(parts)


def reasons(workflows: Workflows, run: Run, places: Places) -> dict[str, Sequence[str]]:
    """Why each refused step refused: of its verdict where the objects can be read, else of its log.

    Args:
        workflows: Where the run is.
        run: That has ended.
        places: `objects` may be empty.
    """
    return {
        step.name: _of_verdict(run, step, places) or _of_log(workflows, run, step) for step in run.steps if step.refused
    }


def _begun(run: Run, step: str) -> list[Step]:
    begun = [one for one in run.steps if one.node]
    chosen = [one for one in begun if step in {"", one.name}]
    if step and not chosen:
        raise UnknownStep(run.name, step, [one.name for one in begun])
    return chosen


def _follow(workflows: Workflows, run: str, step: Step, sink: Sink, sleep: Callable[[float], None]) -> None:
    given, over = 0, False
    while not over:
        # Asked before the lines are: what was printed up to the end is then among them.
        over = _over(workflows, run, step)
        try:
            for number, line in enumerate(workflows.log(run, step, follow=True)):
                if number >= given:
                    given += 1
                    if not _of_argo(line):
                        sink(step.name, line)
        except RetryableError:
            over = False
        if not over:
            sleep(POLL.total_seconds())


def _over(workflows: Workflows, run: str, step: Step) -> bool:
    """Whether this try of the step has ended; not while the cluster is silent."""
    try:
        now = parse(workflows.read(run))
    except RetryableError:
        return False
    return now.ended or not any(one.node == step.node and one.phase == "Running" for one in now.steps)


def _of_verdict(run: Run, step: Step, places: Places) -> Sequence[str]:
    if not places.objects:
        return ()
    uri = places.object("verdicts", run.name, f"{step.template}.json")
    try:
        return Verdict.from_json(objects.read_bytes(uri).decode()).reasons
    except Exception:  # noqa: BLE001 - whatever an object store raises here, the log says the same
        return ()


def _of_log(workflows: Workflows, run: Run, step: Step) -> Sequence[str]:
    said = [line.removeprefix(_REFUSED) for line in _lines(workflows, run.name, step) if line.startswith(_REFUSED)]
    return said or ["its log is gone, and the verdict cannot be read from here: set CHEXPERT_OBJECTS"]


def _lines(workflows: Workflows, run: str, step: Step) -> list[str]:
    try:
        return [line for line in workflows.log(run, step, follow=False) if not _of_argo(line)]
    except ChexpertError as error:
        return [f"(no log: {error})"]


def _of_argo(line: str) -> bool:
    """Whether Argo's executor wrote it, which shares the container's output; it marks its lines, as text or JSON."""
    return (line.startswith("time=") and " argo=true" in line) or (line.startswith("{") and '"argo":true' in line)
