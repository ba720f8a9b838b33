"""Whether everything a workflow names exists: templates, tasks, inputs, outputs and variables."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from chexpert.pipeline.workflow import variables
from chexpert.pipeline.workflow.document import Problem
from chexpert.pipeline.workflow.model import Task, Template, Workflow

__all__ = ["ancestors", "problems"]

_ARTIFACT: Final = re.compile(r"tasks\.([^.]+)\.outputs\.artifacts\.([^.]+)")
_PARAMETER: Final = re.compile(r"tasks\.([^.]+)\.outputs\.parameters\.([^.]+)")


def problems(workflow: Workflow) -> list[Problem]:
    """Every name that leads nowhere; empty when all lead somewhere."""
    tasks = {task.name: task for task in workflow.tasks()}
    found = list(_doubled(workflow)) + list(_lost_dependencies(tasks))
    if found:
        return found
    above = ancestors(tasks)
    for name in sorted(tasks):
        if name in above[name]:
            found.append(Problem(tasks[name].line, f"task {name!r} depends on itself, through {sorted(above[name])}"))
    if found:
        return found
    for task in tasks.values():
        found.extend(_of_task(workflow, task, tasks, above[task.name]))
    for template in workflow.templates.values():
        found.extend(_of_template(workflow, template))
    return found


def ancestors(tasks: Mapping[str, Task]) -> dict[str, set[str]]:
    """For each task, all it depends on, directly or not. A task on a circle is its own ancestor."""
    found: dict[str, set[str]] = {}
    for name in tasks:
        seen: set[str] = set()
        waiting = list(tasks[name].dependencies)
        while waiting:
            dependency = waiting.pop()
            if dependency not in seen:
                seen.add(dependency)
                waiting.extend(tasks[dependency].dependencies)
        found[name] = seen
    return found


def _doubled(workflow: Workflow) -> Iterator[Problem]:
    seen = set()
    for task in workflow.tasks():
        if task.name in seen:
            yield Problem(task.line, f"task {task.name!r} stands twice")
        if task.name == workflow.on_exit:
            yield Problem(task.line, f"task {task.name!r} has the name of the onExit template: their folders are one")
        seen.add(task.name)


def _lost_dependencies(tasks: Mapping[str, Task]) -> Iterator[Problem]:
    for task in tasks.values():
        for dependency in task.dependencies:
            if dependency not in tasks:
                yield Problem(task.line, f"task {task.name!r} depends on {dependency!r}, which isn't there")


def _of_task(workflow: Workflow, task: Task, tasks: Mapping[str, Task], above: AbstractSet[str]) -> Iterator[Problem]:
    template = workflow.templates.get(task.template)
    if template is None:
        yield Problem(task.line, f"task {task.name!r} uses the template {task.template!r}, which isn't there")
        return
    if template.is_dag:
        yield Problem(
            task.line, f"task {task.name!r} uses a dag as its template, which the local runner does not support"
        )
        return
    yield from _arguments(task, template)
    for name, source in task.artifacts.items():
        if complaint := _artifact_complaint(workflow, source, tasks, above):
            yield Problem(task.line, f"task {task.name!r} takes {name!r} from {source!r}: {complaint}")
    yield from _task_variables(workflow, task, tasks, above)


def _arguments(task: Task, template: Template) -> Iterator[Problem]:
    takes = {artifact.name: artifact for artifact in template.inputs}
    for kind, given, known in (
        ("parameter", task.parameters.keys(), template.parameters.keys()),
        ("artifact", task.artifacts.keys(), takes.keys()),
    ):
        for name in sorted(given - known):
            yield Problem(
                task.line, f"task {task.name!r} gives the {kind} {name!r}, unknown to template {template.name!r}"
            )
    for name, default in template.parameters.items():
        if default is None and name not in task.parameters:
            yield Problem(task.line, f"task {task.name!r} gives no parameter {name!r} to template {template.name!r}")
    for name, artifact in takes.items():
        if name not in task.artifacts and not artifact.optional:
            yield Problem(task.line, f"task {task.name!r} gives no artifact {name!r} to template {template.name!r}")


def _artifact_complaint(workflow: Workflow, source: str, tasks: Mapping[str, Task], above: AbstractSet[str]) -> str:
    found = variables.names(source)
    match = _ARTIFACT.fullmatch(found[0]) if len(found) == 1 else None
    if match is None:
        return "write {{tasks.NAME.outputs.artifacts.NAME}}"
    giver, artifact = match.groups()
    if giver not in above:
        return f"it does not depend on {giver!r}"
    if tasks[giver].with_param:
        return f"{giver!r} runs once per item, so it has no single artifact"
    template = workflow.templates.get(tasks[giver].template)
    if template is not None and artifact not in {output.name for output in template.outputs}:
        return f"{giver!r} gives no such artifact"
    return ""


def _task_variables(
    workflow: Workflow, task: Task, tasks: Mapping[str, Task], above: AbstractSet[str]
) -> Iterator[Problem]:
    texts = [*task.parameters.values(), task.with_param]
    if task.when is not None:
        texts += [side for group in task.when.groups for c in group for side in (c.left, c.right)]
    for text in texts:
        for name in variables.names(text):
            if name in _globals(workflow):
                continue
            item = name == "item" or name.startswith("item.")
            if item and task.with_param and text != task.with_param:
                continue
            match = _PARAMETER.fullmatch(name)
            giver = workflow.templates.get(tasks[match[1]].template) if match and match[1] in above else None
            if match and giver is not None and match[2] in {p.name for p in giver.output_parameters}:
                continue
            yield Problem(task.line, f"task {task.name!r} uses {{{{{name}}}}}, which has no value there")


def _of_template(workflow: Workflow, template: Template) -> Iterator[Problem]:
    known = _globals(workflow) | {f"inputs.parameters.{name}" for name in template.parameters}
    if template.name == workflow.on_exit:
        known |= {"workflow.status", "workflow.failures"}
        for name in sorted(name for name, default in template.parameters.items() if default is None):
            yield Problem(
                template.line, f"template {template.name!r} runs on exit: its parameter {name!r} needs a value"
            )
        for artifact in template.inputs:
            yield Problem(artifact.line, f"template {template.name!r} runs on exit: nothing gives it {artifact.name!r}")
    for line, text in _texts(template):
        for name in variables.names(text):
            if name not in known:
                yield Problem(line, f"template {template.name!r} uses {{{{{name}}}}}, which has no value there")


def _texts(template: Template) -> Iterator[tuple[int, str]]:
    """What a template fills in variables in, each with its line."""
    if (container := template.container) is not None:
        for text in (*container.command, *container.args, *container.environment.values()):
            yield container.line, text
    if (resource := template.resource) is not None:
        for text in (resource.manifest, *resource.conditions):
            yield resource.line, text


def _globals(workflow: Workflow) -> set[str]:
    return {"workflow.name"} | {f"workflow.parameters.{name}" for name in workflow.parameters}
