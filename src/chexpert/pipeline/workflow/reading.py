"""From a file to a Workflow: schema, subset, then the model, then whether everything it names exists."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexpert.pipeline.workflow import document, references, schema, subset
from chexpert.pipeline.workflow.document import Document, Keys, Problem, WorkflowRefused
from chexpert.pipeline.workflow.model import Template, Workflow
from chexpert.pipeline.workflow.templates import TemplateReader

__all__ = ["read"]


def read(path: Path) -> Workflow:
    """Read a Workflow, WorkflowTemplate or CronWorkflow.

    Raises:
        WorkflowRefused: with every problem and its line: unknown to Argo, not supported, or a name leading nowhere.
    """
    source = document.load(path)
    for look in (schema.unknown, subset.problems, schema.misfits):
        if problems := look(source):
            raise WorkflowRefused(path, problems)
    workflow, problems = _build(source)
    if problems or (problems := references.problems(workflow)):
        raise WorkflowRefused(path, problems)
    return workflow


def _build(source: Document) -> tuple[Workflow, list[Problem]]:
    keys: Keys = ("spec", "workflowSpec") if source.get(("kind",)) == "CronWorkflow" else ("spec",)
    spec: Mapping[str, Any] = source.get(keys)
    problems: list[Problem] = []
    templates: dict[str, Template] = {}
    reader = TemplateReader(source, spec.get("templateDefaults") or {}, problems)
    for index in range(len(spec.get("templates") or ())):
        template = reader.read((*keys, "templates", index))
        if template.name in templates:
            problems.append(Problem(template.line, f"template {template.name!r} stands twice"))
        templates[template.name] = template
    metadata = source.get(("metadata",))
    workflow = Workflow(
        path=source.path,
        name=metadata.get("name") or metadata.get("generateName", "").rstrip("-") or source.path.stem,
        entrypoint=spec.get("entrypoint", ""),
        parameters={p["name"]: p.get("value") for p in (spec.get("arguments") or {}).get("parameters") or ()},
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
