"""Holds a workflow against the declared steps: every `chexpert step NAME`, parameter and artifact, both ways."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from chexpert.domain.errors import InputError
from chexpert.pipeline.invocation import Invocation
from chexpert.pipeline.step import VERDICT, StepDeclaration
from chexpert.pipeline.workflow import variables
from chexpert.pipeline.workflow.commands import INPUTS, OUTPUTS, launched_step, step_of
from chexpert.pipeline.workflow.document import Problem
from chexpert.pipeline.workflow.model import Artifact, OutputParameter, Template, Workflow

__all__ = ["check", "steps_of"]


def check(workflow: Workflow, steps: Mapping[str, StepDeclaration]) -> tuple[Problem, ...]:
    """Every difference between the file and the declarations, with its line; empty when they agree."""
    return tuple(problem for template in workflow.templates.values() for problem in _of_template(template, steps))


def steps_of(workflow: Workflow) -> tuple[str, ...]:
    """Names of the steps that the workflow's containers and pods call, in the order of the file."""
    found = [arguments for template in workflow.templates.values() for _, arguments in _calls(template)]
    return tuple(dict.fromkeys(arguments[0] for arguments in found if arguments))


def _calls(template: Template) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each call of a step, as what follows `chexpert step`, with its line."""
    if (container := template.container) is not None:
        arguments = step_of((*container.command, *container.args))
        if arguments is not None:
            yield container.line, arguments
    if (resource := template.resource) is not None:
        for command in _commands(_parsed(resource.manifest)):
            if (arguments := launched_step(command)) is not None:
                yield resource.line, arguments


def _parsed(manifest: str) -> Any:
    """A resource's manifest with 1 for every variable; None where it is no YAML."""
    try:
        return YAML(typ="safe").load(variables.substitute(manifest, dict.fromkeys(variables.names(manifest), "1")))
    except YAMLError:
        return None


def _commands(node: Any) -> Iterator[tuple[str, ...]]:
    """Command and arguments of every container somewhere in an object."""
    if isinstance(node, Mapping):
        if isinstance(node.get("command"), list):
            yield tuple(str(part) for part in (*node["command"], *(node.get("args") or ())))
        for value in node.values():
            yield from _commands(value)
    elif isinstance(node, list):
        for item in node:
            yield from _commands(item)


def _of_template(template: Template, steps: Mapping[str, StepDeclaration]) -> Iterator[Problem]:
    if template.resource is not None and not isinstance(_parsed(template.resource.manifest), Mapping):
        yield Problem(template.resource.line, f"template {template.name!r}: its manifest is no YAML of one object")
    for line, arguments in _calls(template):
        yield from _of_call(template, line, arguments, steps)


def _of_call(
    template: Template, line: int, arguments: tuple[str, ...], steps: Mapping[str, StepDeclaration]
) -> Iterator[Problem]:
    try:
        invocation = Invocation.parse(arguments, steps)
    except InputError as error:
        yield Problem(line, f"template {template.name!r}: {error}")
        return
    declaration = invocation.declaration
    if (invocation.inputs, invocation.outputs) != (Path(INPUTS), Path(OUTPUTS)):
        yield Problem(line, f"template {template.name!r} must use --in={INPUTS} and --out={OUTPUTS}")
    yield from _artifacts(template, template.inputs, declaration.inputs, "takes", declaration)
    yield from _artifacts(template, template.outputs, declaration.outputs, "gives", declaration)
    yield from _artifacts(template, template.output_parameters, declaration.values, "says", declaration)
    for output in template.outputs:
        if output.optional is (output.name == VERDICT):
            rule = (
                "must not be optional: a gate without a verdict is a fault" if output.optional else "must be optional"
            )
            yield Problem(output.line, f"template {template.name!r}: output {output.name!r} {rule}")


def _artifacts(
    template: Template,
    written: tuple[Artifact, ...] | tuple[OutputParameter, ...],
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
