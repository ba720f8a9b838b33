"""A workflow as the runner sees it: templates, tasks, and the lines they stand on. Frozen, without Argo's schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from chexpert.pipeline.workflow.conditions import Condition

__all__ = ["Artifact", "Container", "OutputParameter", "Resource", "Retry", "Task", "Template", "Workflow"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file or folder that a template takes or gives."""

    name: str
    path: str
    """Where it lies in the container: under /step/in or /step/out."""
    optional: bool
    line: int


@dataclass(frozen=True, slots=True)
class OutputParameter:
    """A short text that a template gives, read from a file it wrote."""

    name: str
    path: str
    default: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Container:
    """What is started. The image and what a cluster grants it are none of the runner's business."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: Mapping[str, str]
    config_maps: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Resource:
    """A Kubernetes object that a template makes and waits for: there is none to make it on one machine."""

    action: str
    manifest: str
    """YAML of one object, with variables."""
    conditions: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Retry:
    """How often exit code 75 is tried again, and how long to wait before each."""

    limit: int
    """Tries after the first."""
    wait: timedelta
    factor: float
    """Each wait is this many times the one before."""
    cap: timedelta | None
    """Longest single wait; None: no bound."""
    max_duration: timedelta | None
    """No further try once so long has passed since the first started; None: no bound."""


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the DAG: one template with its arguments, run once, or once per item."""

    name: str
    template: str
    dependencies: tuple[str, ...]
    parameters: Mapping[str, str]
    """Argument values, with variables."""
    artifacts: Mapping[str, str]
    """Argument artifacts: a variable such as {{tasks.ingest.outputs.artifacts.manifest}}."""
    optional_artifacts: frozenset[str]
    when: Condition | None
    with_param: str
    """A JSON list, usually by a variable; empty: run once."""
    line: int


@dataclass(frozen=True, slots=True)
class Template:
    """What a task runs (a container or, on a cluster, a resource), or the DAG itself."""

    name: str
    line: int
    parameters: Mapping[str, str | None]
    """Input parameters with their defaults; None: the task must give it."""
    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    output_parameters: tuple[OutputParameter, ...] = ()
    container: Container | None = None
    resource: Resource | None = None
    tasks: tuple[Task, ...] = ()
    retry: Retry | None = None
    deadline: timedelta | None = None
    """The container is ended after so long; None: never."""

    @property
    def is_dag(self) -> bool:
        """Whether it orders other templates and runs nothing itself."""
        return self.container is None and self.resource is None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A whole manifest."""

    path: Path
    name: str
    """metadata.name, or generateName without its dash."""
    entrypoint: str
    parameters: Mapping[str, str | None]
    """Of the workflow, with their values; None: must be given."""
    templates: Mapping[str, Template]
    on_exit: str = ""
    """Template that runs at the end, whatever happened; empty: none."""
    parallelism: int | None = None

    @property
    def needs_cluster(self) -> tuple[Template, ...]:
        """Templates that no single machine can run."""
        return tuple(template for template in self.templates.values() if template.resource is not None)

    def tasks(self) -> tuple[Task, ...]:
        """Tasks of the entrypoint; a bare container is one task."""
        entry = self.templates[self.entrypoint]
        return entry.tasks if entry.is_dag else (self.alone(entry),)

    @staticmethod
    def alone(template: Template) -> Task:
        """A template as a task of its own, with its defaults."""
        return Task(
            name=template.name,
            template=template.name,
            dependencies=(),
            parameters={},
            artifacts={},
            optional_artifacts=frozenset(),
            when=None,
            with_param="",
            line=template.line,
        )
