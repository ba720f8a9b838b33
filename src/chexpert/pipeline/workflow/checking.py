"""Holds a workflow against the declared steps: every `chexpert step NAME`, parameter and artifact, both ways."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from chexpert.domain.errors import InputError
from chexpert.pipeline.invocation import Invocation
from chexpert.pipeline.step import VERDICT, StepDeclaration
from chexpert.pipeline.workflow.commands import INPUTS, OUTPUTS, step_of
from chexpert.pipeline.workflow.document import Problem
from chexpert.pipeline.workflow.model import Artifact, Template, Workflow

__all__ = ["check", "steps_of"]


def check(workflow: Workflow, steps: Mapping[str, StepDeclaration]) -> tuple[Problem, ...]:
    """Every difference between the file and the declarations, with its line; empty when they agree."""
    return tuple(problem for template in workflow.templates.values() for problem in _of_template(template, steps))


def steps_of(workflow: Workflow) -> tuple[str, ...]:
    """Names of the steps that the workflow's containers call, in the order of the file."""
    containers = [template.container for template in workflow.templates.values() if template.container is not None]
    found = [step_of((*container.command, *container.args)) for container in containers]
    return tuple(dict.fromkeys(arguments[0] for arguments in found if arguments))


def _of_template(template: Template, steps: Mapping[str, StepDeclaration]) -> Iterator[Problem]:
    if template.container is None:
        return
    arguments = step_of((*template.container.command, *template.container.args))
    if arguments is None:
        return
    try:
        invocation = Invocation.parse(arguments, steps)
    except InputError as error:
        yield Problem(template.container.line, f"template {template.name!r}: {error}")
        return
    declaration = invocation.declaration
    if (invocation.inputs, invocation.outputs) != (Path(INPUTS), Path(OUTPUTS)):
        yield Problem(template.container.line, f"template {template.name!r} must use --in={INPUTS} and --out={OUTPUTS}")
    yield from _artifacts(template, template.inputs, declaration.inputs, "takes", declaration)
    yield from _artifacts(template, template.outputs, declaration.outputs, "gives", declaration)
    for output in template.outputs:
        if output.optional is (output.name == VERDICT):
            rule = (
                "must not be optional: a gate without a verdict is a fault" if output.optional else "must be optional"
            )
            yield Problem(output.line, f"template {template.name!r}: output {output.name!r} {rule}")


def _artifacts(
    template: Template,
    written: tuple[Artifact, ...],
    declared: tuple[str, ...],
    verb: str,
    declaration: StepDeclaration,
) -> Iterator[Problem]:
    names = {artifact.name: artifact.line for artifact in written}
    for name in sorted(names.keys() - set(declared)):
        yield Problem(
            names[name], f"template {template.name!r} {verb} {name!r}, which step {declaration.name} does not"
        )
    for name in sorted(set(declared) - names.keys()):
        yield Problem(template.line, f"step {declaration.name} {verb} {name!r}, which template {template.name!r} lacks")
