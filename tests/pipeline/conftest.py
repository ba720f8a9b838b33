"""Workflows written by the tests, and steps of their own that a preloaded process forks."""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chexpert.domain.places import Places
from chexpert.pipeline.runner.preloaded import Preloaded
from chexpert.pipeline.runner.results import RunResult
from chexpert.pipeline.runner.running import run
from chexpert.pipeline.workflow.model import Workflow
from chexpert.pipeline.workflow.reading import read

HEAD = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: small-}
spec:
  entrypoint: main
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the rest of a manifest below a head that ends on line 5, and gives its path."""

    def write(rest: str) -> Path:
        path = tmp_path / "workflow.yaml"
        path.write_text(HEAD + textwrap.indent(textwrap.dedent(rest), "  "), encoding="utf-8")
        return path

    return write


@pytest.fixture
def workflow(written: Callable[[str], Path]) -> Callable[[str], Workflow]:
    """Writes and reads a manifest."""
    return lambda rest: read(written(rest))


@pytest.fixture(scope="session")
def bare() -> Iterator[Preloaded]:
    """One process for all tests to fork from, without slow imports."""
    with Preloaded() as preloaded:
        yield preloaded


@pytest.fixture
def ran(tmp_path: Path, bare: Preloaded, workflow: Callable[[str], Workflow]) -> Callable[..., RunResult]:
    """Writes, reads and runs a manifest in the folder `run`; a second call goes on where the first ended."""

    def start(rest: str, **options: object) -> RunResult:
        parameters = options.pop("parameters", {})
        places = options.pop("places", Places())
        return run(workflow(rest), parameters, places, tmp_path / "run", preloaded=bare, **options)  # type: ignore[arg-type]

    return start
