"""A step: what it takes and gives (StepDeclaration), and what its function works with (StepContext)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chexpert.data import objects
from chexpert.domain.errors import InputError
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict

__all__ = ["VERDICT", "MissingArtifact", "MissingParameter", "Parameter", "StepContext", "StepDeclaration"]

VERDICT = "verdict"
"""Name of the output every gate writes; the only one that a workflow may not call optional."""


class MissingArtifact(InputError):
    """An input of a step is not where it should be."""

    def __init__(self, step: str, name: str, path: Path) -> None:
        super().__init__(f"step {step} needs the artifact {name}, and {path} does not exist")
        self.step, self.name, self.path = step, name, path


class MissingParameter(InputError):
    """A step was not given a parameter that it needs."""

    def __init__(self, step: str, name: str) -> None:
        super().__init__(f"step {step} needs the parameter {name}: give --parameter={name}=…")
        self.step, self.name = step, name


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step; values are strings, as in Argo."""

    name: str
    help: str
    """Meaning, unit, and which value switches it off."""
    default: str | None = None
    """None: required."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step's function gets. Every path is local; everything large lies behind `places`."""

    step: str
    parameters: Mapping[str, str]
    inputs: Path
    """Folder with the input artifacts, one file or folder each, by name."""
    outputs: Path
    """Folder to write the output artifacts to."""
    places: Places
    run: str
    """Name of the workflow run: first part of what is written under verdicts/ and reports/."""
    progress_file: Path | None = None
    """Where `progress` writes, read by Argo (its ARGO_PROGRESS_FILE) and by the local runner; None: nowhere."""

    def parameter(self, name: str) -> str:
        """Value of a parameter, or MissingParameter."""
        try:
            return self.parameters[name]
        except KeyError:
            raise MissingParameter(self.step, name) from None

    def input(self, name: str) -> Path:
        """Path of an input artifact, or MissingArtifact."""
        path = self.inputs / name
        if not path.exists():
            raise MissingArtifact(self.step, name, path)
        return path

    def has_input(self, name: str) -> bool:
        """Whether an optional input artifact was given."""
        return (self.inputs / name).exists()

    def output(self, name: str) -> Path:
        """Path to write an output artifact to; its folder exists."""
        self.outputs.mkdir(parents=True, exist_ok=True)
        return self.outputs / name

    def publish(self, verdict: Verdict) -> str:
        """Write the verdict among the outputs and to verdicts/<run>/<step>.json; return that object's URI."""
        text = verdict.to_json()
        self.output(VERDICT).write_text(text, encoding="utf-8")
        return self._write_object(text.encode(), "verdicts", self.run, f"{self.step}.json")

    def publish_report(self, name: str, html: str) -> str:
        """Write a report to reports/<run>/<name>.html; return its URI."""
        return self._write_object(html.encode(), "reports", self.run, f"{name}.html")

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Say how far the step is, `done` of `total`, and print `text` to its log."""
        if text:
            print(f"[{done}/{total}] {text}", flush=True)  # noqa: T201 - a step's log is its standard output
        if self.progress_file is not None and 0 <= done <= total and total > 0:
            partial = self.progress_file.with_name(f"{self.progress_file.name}.partial")
            partial.write_text(f"{done}/{total}", encoding="utf-8")
            partial.replace(self.progress_file)

    def _write_object(self, data: bytes, *parts: str) -> str:
        uri = self.places.object(*parts)
        objects.write_bytes(uri, data)
        return uri


StepFunction = Callable[[StepContext], Verdict | None]
"""Does the work. A returned verdict is published if the function has not done so; a failed one ends with exit 3."""


@dataclass(frozen=True, slots=True)
class StepDeclaration:
    """A step's name, function, parameters and artifacts: what the workflow files are held against."""

    name: str
    function: str
    """`package.module:name`, imported when the step runs."""
    parameters: tuple[Parameter, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """Output parameters: short texts that later tasks use, each written like an output artifact."""
    imports: tuple[str, ...] = ()
    """Slow modules it needs: a local runner has them, and the function's own, imported once before it forks."""

    def load(self) -> StepFunction:
        """Import the function."""
        module, _, name = self.function.partition(":")
        function: Any = getattr(import_module(module), name)
        return function  # type: ignore[no-any-return] # what a name leads to is known only when it is imported

    def resolve(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """The given parameters with the defaults of the others.

        Raises:
            InputError: one is unknown, or a required one is missing.
        """
        unknown = sorted(set(given) - {p.name for p in self.parameters})
        if unknown:
            known = ", ".join(p.name for p in self.parameters) or "none"
            msg = f"step {self.name} has no parameter {', '.join(unknown)}; it has: {known}"
            raise InputError(msg)
        values = {}
        for parameter in self.parameters:
            value = given.get(parameter.name, parameter.default)
            if value is None:
                raise MissingParameter(self.name, parameter.name)
            values[parameter.name] = value
        return MappingProxyType(values)
