"""From a file to a Workflow: schema, subset, then the model, then whether everything it names exists."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from chexpert.pipeline.workflow import document, references, schema, subset
from chexpert.pipeline.workflow.document import Document, Keys, Problem, WorkflowRefused
from chexpert.pipeline.workflow.model import Template, Workflow
from chexpert.pipeline.workflow.templates import CONFIG_MAP, TemplateReader

__all__ = ["read"]


def read(path: Path) -> Workflow:
    """Read a Workflow, WorkflowTemplate or CronWorkflow; a WorkflowTemplate it refers to is looked for beside it.

    Raises:
        WorkflowRefused: with every problem and its line: unknown to Argo, not supported, or a name leading nowhere.
    """
    source = document.load(path)
    for look in (schema.unknown, subset.problems, schema.misfits):
        if problems := look(source):
            raise WorkflowRefused(path, problems)
    keys: Keys = ("spec", "workflowSpec") if source.get(("kind",)) == "CronWorkflow" else ("spec",)
    if source.get((*keys, "workflowTemplateRef")) is not None:
        return _referring(source, keys)
    workflow, problems = _build(source, keys)
    if problems or (problems := references.problems(workflow)):
        raise WorkflowRefused(path, problems)
    return workflow


def _referring(source: Document, keys: Keys) -> Workflow:
    """The WorkflowTemplate of that name among the files beside this one, with this one's arguments."""
    line = source.line((*keys, "workflowTemplateRef"))
    name = source.get((*keys, "workflowTemplateRef", "name"))
    found = next((path for path in sorted(source.path.parent.glob("*.yaml")) if _is_template(path, name)), None)
    if found is None:
        raise WorkflowRefused(source.path, [Problem(line, f"no WorkflowTemplate {name!r} lies beside this file")])
    template = read(found)
    problems = [
        Problem(source.line((*keys, key)), f"{key} beside workflowTemplateRef is not supported here")
        for key in ("entrypoint", "onExit", "parallelism", "templateDefaults", "templates")
        if source.get((*keys, key)) is not None
    ]
    given = dict(_parameters(source, keys, problems))
    problems.extend(
        Problem(source.line((*keys, "arguments")), f"{template.name} has no parameter {unknown!r}")
        for unknown in given.keys() - template.parameters.keys()
    )
    if problems:
        raise WorkflowRefused(source.path, problems)
    return replace(template, path=source.path, name=_name(source), parameters={**template.parameters, **given})


def _is_template(path: Path, name: str) -> bool:
    source = document.load(path)
    return bool(source.get(("kind",)) == "WorkflowTemplate" and source.get(("metadata", "name")) == name)


def _name(source: Document) -> str:
    metadata = source.get(("metadata",))
    return str(metadata.get("name") or metadata.get("generateName", "").rstrip("-") or source.path.stem)


def _parameters(source: Document, keys: Keys, problems: list[Problem]) -> Iterator[tuple[str, str | None]]:
    """Names and values of the workflow's arguments; one from the ConfigMap has the default that stands beside it."""
    items = (source.get((*keys, "arguments")) or {}).get("parameters") or ()
    for index, item in enumerate(items):
        origin = item.get("valueFrom")
        if origin is not None and (origin.get("configMapKeyRef") or {}).get("name") != CONFIG_MAP:
            line = source.line((*keys, "arguments", "parameters", index))
            message = f"parameter {item['name']!r}: valueFrom needs a key of ConfigMap {CONFIG_MAP!r}"
            problems.append(Problem(line, message))
        yield item["name"], item.get("value", (origin or {}).get("default"))


def _build(source: Document, keys: Keys) -> tuple[Workflow, list[Problem]]:
    spec: Mapping[str, Any] = source.get(keys)
    problems: list[Problem] = []
    templates: dict[str, Template] = {}
    reader = TemplateReader(source, spec.get("templateDefaults") or {}, problems)
    for index in range(len(spec.get("templates") or ())):
        template = reader.read((*keys, "templates", index))
        if template.name in templates:
            problems.append(Problem(template.line, f"template {template.name!r} stands twice"))
        templates[template.name] = template
    workflow = Workflow(
        path=source.path,
        name=_name(source),
        entrypoint=spec.get("entrypoint", ""),
        parameters=dict(_parameters(source, keys, problems)),
        templates=templates,
        on_exit=spec.get("onExit", ""),
        parallelism=spec.get("parallelism"),
    )
    for name, key in ((workflow.entrypoint, "entrypoint"), (workflow.on_exit, "onExit")):
        if name not in templates and (name or key == "entrypoint"):
            problems.append(Problem(source.line((*keys, key)), f"{key} names the template {name!r}, which isn't there"))
    if workflow.on_exit in templates and templates[workflow.on_exit].container is None:
        problems.append(Problem(source.line((*keys, "onExit")), "onExit must name a template with a container"))
    return workflow, problems
