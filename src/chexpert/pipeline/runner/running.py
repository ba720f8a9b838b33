"""Runs a workflow to its end."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from chexpert.bundle.cpus import available_cpus
from chexpert.domain.errors import InputError
from chexpert.domain.places import Places
from chexpert.pipeline.runner.folder import locked, note
from chexpert.pipeline.runner.preloaded import Preloaded
from chexpert.pipeline.runner.results import RunResult, RunStatus, StepResult, StepStatus
from chexpert.pipeline.runner.scheduling import Schedule
from chexpert.pipeline.runner.stepping import StepRun
from chexpert.pipeline.workflow.model import Workflow

__all__ = ["NeedsCluster", "Watcher", "run"]

Watcher = Callable[[Sequence[StepResult]], None]
"""Called with every step whenever something may have changed, at least each 0.1 s."""

_TICK_S: Final = 0.1


class NeedsCluster(InputError):
    """A workflow with templates that make Kubernetes objects."""

    def __init__(self, workflow: Workflow) -> None:
        self.templates = tuple(template.name for template in workflow.needs_cluster)
        super().__init__(
            f"{workflow.path} runs on a cluster only: {', '.join(self.templates)} make Kubernetes objects; "
            "submit it with `chexpert pipeline submit`"
        )


def run(
    workflow: Workflow,
    parameters: Mapping[str, str],
    places: Places,
    run_folder: Path,
    *,
    progress: Watcher | None = None,
    commands: Mapping[str, Sequence[str]] = MappingProxyType({}),
    max_parallel: int = 2,
    preloaded: Preloaded | None = None,
) -> RunResult:
    """Run a workflow in `run_folder`, whose name is the run's; go on with what an earlier run left there.

    Args:
        workflow: as read.
        parameters: values for the workflow's parameters, over those in the file.
        places: stand in for the ConfigMap `chexpert`.
        run_folder: gets one folder for each step, with in/, out/, log and state.json.
        progress: told of every change.
        commands: by template name, a command that replaces the template's own, from outside: for tests and demos.
        max_parallel: how many steps may run at once; the file's `parallelism` may lower it.
        preloaded: where steps are forked from; None: a bare one for this run.

    Raises:
        InputError: a parameter is unknown or missing, another process works in the folder, or the workflow makes
            Kubernetes objects and so runs on a cluster only.
    """
    if workflow.needs_cluster:
        raise NeedsCluster(workflow)
    given = _parameters(workflow, parameters)
    values = {"workflow.name": run_folder.name, **{f"workflow.parameters.{k}": v for k, v in given.items()}}
    for name in commands.keys() - workflow.templates.keys():
        msg = f"a command is given for the template {name!r}, which {workflow.path} does not have"
        raise InputError(msg)
    replaced = {name: tuple(command) for name, command in commands.items()}
    with ExitStack() as stack:
        stack.enter_context(locked(run_folder))
        server = preloaded or stack.enter_context(Preloaded())
        loop = _Loop(server, progress, min(max_parallel, workflow.parallelism or max_parallel))
        note(run_folder, workflow.path, given, "running")
        results = loop.drive(Schedule(workflow, values, places, run_folder, replaced))
        if workflow.on_exit:
            values["workflow.status"] = "Succeeded" if _status(results) is RunStatus.SUCCEEDED else "Failed"
            values["workflow.failures"] = _failures(results)
            at_exit = replace(workflow, entrypoint=workflow.on_exit, on_exit="")
            # What is told at the end is told at each end: never reused.
            results = loop.drive(Schedule(at_exit, values, places, run_folder, replaced, reuse=False), results)
        note(run_folder, workflow.path, given, _status(results))
    return RunResult(run=run_folder.name, status=_status(results), steps=results, folder=run_folder)


def _parameters(workflow: Workflow, given: Mapping[str, str]) -> dict[str, str]:
    known = ", ".join(workflow.parameters) or "none"
    for name in given.keys() - workflow.parameters.keys():
        msg = f"{workflow.path} has no parameter {name!r}; it has: {known}"
        raise InputError(msg)
    values = {name: given.get(name, value) for name, value in workflow.parameters.items()}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        msg = f"{workflow.path} needs a value for {', '.join(missing)}: give --parameter {missing[0]}=…"
        raise InputError(msg)
    return {name: value for name, value in values.items() if value is not None}


def _status(results: Sequence[StepResult]) -> RunStatus:
    """A fault outweighs a refusal: what else the gates would have said is then unknown."""
    statuses = {step.status for step in results}
    if StepStatus.FAILED in statuses:
        return RunStatus.FAILED
    return RunStatus.REFUSED if StepStatus.REFUSED in statuses else RunStatus.SUCCEEDED


def _failures(results: Sequence[StepResult]) -> str:
    """What did not succeed, as Argo writes {{workflow.failures}}: a JSON list inside a JSON string."""
    failures = [
        {
            "displayName": step.name,
            "message": "; ".join(step.reasons),
            "templateName": step.template,
            "phase": "Failed",
            "podName": "",
            "finishedAt": step.ended.isoformat() if step.ended else "",
        }
        for step in results
        if step.status in {StepStatus.REFUSED, StepStatus.FAILED}
    ]
    return json.dumps(json.dumps(failures or None))


class _Loop:
    """Starts what may start, waits a moment, takes note of what has ended."""

    def __init__(self, preloaded: Preloaded, progress: Watcher | None, max_parallel: int) -> None:
        self._preloaded, self._progress, self._max_parallel = preloaded, progress, max_parallel
        # Shared out: two trainings with two threads each on two cores ran at a quarter of the speed of one thread each.
        self._threads = max(1, available_cpus() // max_parallel)

    def drive(self, schedule: Schedule, before: tuple[StepResult, ...] = ()) -> tuple[StepResult, ...]:
        """Until every task has ended; on any error the running steps are killed. Returns all results so far."""
        try:
            schedule.advance()
            while not schedule.ended:
                running = self._start(schedule)
                self._tell((*before, *schedule.results()))
                futures = [step.child.ended for step in running if step.child is not None]
                if futures:
                    wait(futures, _TICK_S, FIRST_COMPLETED)
                else:  # everything waits for its next try
                    time.sleep(_TICK_S)
                for step in running:
                    step.poll(self._preloaded, datetime.now(UTC))
                schedule.advance()
        finally:
            for step in schedule.runs():
                step.end(self._preloaded)
        self._tell(results := (*before, *schedule.results()))
        return results

    def _start(self, schedule: Schedule) -> list[StepRun]:
        running = [step for step in schedule.runs() if step.running]
        for step in schedule.runs():
            if len(running) < self._max_parallel and step.startable(datetime.now(UTC)):
                step.start(self._preloaded, datetime.now(UTC), threads=self._threads)
                running.append(step)
        return running

    def _tell(self, results: tuple[StepResult, ...]) -> None:
        if self._progress is not None:
            self._progress(results)
