"""Which steps may run when: dependencies, `when`, fan-out, and stopping at the first that did not succeed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chexpert.domain.errors import InputError
from chexpert.domain.places import Places
from chexpert.pipeline.runner.results import StepResult, StepStatus
from chexpert.pipeline.runner.state import StepState
from chexpert.pipeline.runner.stepping import Order, StepRun
from chexpert.pipeline.workflow import variables
from chexpert.pipeline.workflow.model import Task, Workflow

__all__ = ["Schedule"]

_BAD = frozenset({StepStatus.FAILED, StepStatus.REFUSED, StepStatus.OMITTED})


@dataclass(slots=True)
class _Node:
    """A task as far as it has come."""

    task: Task
    runs: list[StepRun] = field(default_factory=list)
    status: StepStatus = StepStatus.WAITING
    reasons: tuple[str, ...] = ()


class Schedule:
    """The tasks of one run. Not a loop: `advance` moves what can move, `runs` is what has begun."""

    def __init__(
        self,
        workflow: Workflow,
        values: Mapping[str, str],
        places: Places,
        folder: Path,
        commands: Mapping[str, tuple[str, ...]],
        *,
        reuse: bool = True,
    ) -> None:
        self._workflow, self._values, self._places = workflow, dict(values), places
        self._folder, self._commands, self._reuse = folder, commands, reuse
        self._nodes = {task.name: _Node(task) for task in workflow.tasks()}

    @property
    def stopping(self) -> bool:
        """Whether a step did not succeed: what runs goes on to its end, nothing new begins (Argo's failFast)."""
        return any(node.status in _BAD for node in self._nodes.values()) or any(
            run.state.status in _BAD for run in self.runs()
        )

    @property
    def ended(self) -> bool:
        """Whether every task has ended."""
        return all(node.status not in {StepStatus.WAITING, StepStatus.RUNNING} for node in self._nodes.values())

    def runs(self) -> Iterator[StepRun]:
        """Every step that has begun, in the order of the file."""
        for node in self._nodes.values():
            yield from node.runs

    def results(self) -> tuple[StepResult, ...]:
        """Every step and fan-out item; a task that has not begun, or never will, stands for itself."""
        found: list[StepResult] = []
        for name, node in self._nodes.items():
            if node.runs:
                found.extend(run.result() for run in node.runs)
            else:
                template = node.task.template
                found.append(StepResult(name, template, node.status, self._folder / name, reasons=node.reasons))
        return tuple(found)

    def advance(self) -> None:
        """Note what has ended, then begin what may begin, until nothing moves."""
        moved = True
        while moved:
            moved = False
            if self.stopping:
                for run in self.runs():
                    run.omit()
            for node in self._nodes.values():
                before = node.status
                if node.status is StepStatus.RUNNING:
                    self._close(node)
                elif node.status is StepStatus.WAITING:
                    self._open(node)
                moved = moved or node.status is not before

    def order(self, task: Task, name: str, values: Mapping[str, str]) -> Order:
        """The order for one run of a task."""
        template = self._workflow.templates[task.template]
        given = {key: variables.substitute(text, values) for key, text in task.parameters.items()}
        inputs = {f"inputs.parameters.{k}": given.get(k, d) or "" for k, d in template.parameters.items()}
        return Order(
            name=name,
            template=template,
            command=self._commands.get(template.name, ()),
            values={**self._values, **inputs},
            artifacts=dict(self._artifacts(task)),
            places=self._places,
        )

    def _open(self, node: _Node) -> None:
        above = [self._nodes[name] for name in node.task.dependencies]
        if any(other.status in _BAD for other in above) or self.stopping:
            self._end(node, StepStatus.OMITTED)
            return
        if any(other.status in {StepStatus.WAITING, StepStatus.RUNNING} for other in above):
            return
        try:
            if node.task.when is not None and not node.task.when.holds(self._values):
                self._end(node, StepStatus.SKIPPED)
                return
            self._begin(node)
        except InputError as error:
            self._end(node, StepStatus.FAILED, str(error))

    def _begin(self, node: _Node) -> None:
        task = node.task
        items: list[tuple[str, Mapping[str, str]]] = [(task.name, {})]
        if task.with_param:
            items = [(f"{task.name}.{index}", item) for index, item in enumerate(self._items(task))]
        for name, item in items:
            run = StepRun(self.order(task, name, {**self._values, **item}), self._folder / name)
            run.prepare(reuse=self._reuse)
            node.runs.append(run)
        node.status = StepStatus.RUNNING

    def _items(self, task: Task) -> Iterator[Mapping[str, str]]:
        text = variables.substitute(task.with_param, self._values)
        try:
            items = json.loads(text)
        except ValueError as error:
            msg = f"withParam of {task.name} is no JSON: {text[:80]!r}"
            raise InputError(msg) from error
        if not isinstance(items, list):
            msg = f"withParam of {task.name} is no JSON list: {text[:80]!r}"
            raise InputError(msg)
        for item in items:
            fields = item.items() if isinstance(item, dict) else ()
            yield {"item": _text(item), **{f"item.{key}": _text(value) for key, value in fields}}

    def _artifacts(self, task: Task) -> Iterator[tuple[str, Path]]:
        """Input artifacts of a task; those that an optional output did not leave behind are left out."""
        optional = task.optional_artifacts | {
            a.name for a in self._workflow.templates[task.template].inputs if a.optional
        }
        for name, source in task.artifacts.items():
            (variable,) = variables.names(source)
            _, giver, _, _, artifact = variable.split(".")
            path = self._folder / giver / "out" / artifact
            ran = self._nodes[giver].status is StepStatus.SUCCEEDED
            if ran and path.exists():
                yield name, path
            elif name not in optional:
                msg = f"{task.name} needs the artifact {name}, and {giver} gave no {artifact}"
                raise InputError(msg)

    def _close(self, node: _Node) -> None:
        """Once all runs have ended, the task has, and its output parameters can be used."""
        if not all(run.ended for run in node.runs):
            return
        statuses = {run.state.status for run in node.runs}
        for bad in (StepStatus.FAILED, StepStatus.REFUSED, StepStatus.OMITTED):
            if bad in statuses:
                node.status = bad
                return
        node.status = StepStatus.SUCCEEDED
        names = {p.name for p in self._workflow.templates[node.task.template].output_parameters}
        for name in names:
            outputs = [run.state.parameters[name] for run in node.runs]
            self._values[f"tasks.{node.task.name}.outputs.parameters.{name}"] = (
                json.dumps(outputs) if node.task.with_param else outputs[0]
            )

    def _end(self, node: _Node, status: StepStatus, reason: str = "") -> None:
        """End a task that does not run; its state is written for those who look from outside."""
        node.status, node.reasons = status, (reason,) if reason else ()
        state = StepState(node.task.name, node.task.template, status=status, reasons=node.reasons)
        state.write(self._folder / node.task.name)


def _text(value: object) -> str:
    """As Argo writes an item: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
