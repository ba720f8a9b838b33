"""A folder of phantoms, ingested once, and contexts as the runner makes them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chexpert.data.manifest import Manifest
from chexpert.data.phantom_folder import PhantomSettings, generate
from chexpert.data.shards import Shards
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps import ingest


def passed(gate: str) -> Verdict:
    return Verdict(gate, "small-cnn", passed=True, reasons=(f"{gate} saw nothing wrong",), inputs_digest="5e")


def refused(gate: str) -> Verdict:
    return Verdict(gate, "small-cnn", passed=False, reasons=("mean AUROC 0.51 under 0.65",), inputs_digest="5e")


def context_of(
    folder: Path,
    step: str,
    places: Places,
    parameters: Mapping[str, str] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> StepContext:
    """A context with the step's declared defaults, and its inputs written as files: a Manifest, Verdict or JSON."""
    declared = STEPS[step]
    given = folder / "in"
    given.mkdir(parents=True, exist_ok=True)
    for name, value in (inputs or {}).items():
        assert name in declared.inputs, f"{step} declares no input {name}"
        if isinstance(value, Manifest):
            value.write(str(given / name))
        else:
            (given / name).write_text(value.to_json() if isinstance(value, Verdict) else json.dumps(value))
    return StepContext(step, declared.resolve(parameters or {}), given, folder / "out", places, folder.name)


def output(context: StepContext, name: str) -> Any:
    return json.loads((context.outputs / name).read_text())


Contexts = Callable[..., StepContext]


@pytest.fixture
def context(tmp_path: Path) -> Contexts:
    """Makes contexts in folders of their own; the objects lie beside them."""
    made: list[StepContext] = []

    def make(step: str, *, places: Places | None = None, **more: Any) -> StepContext:
        folder = tmp_path / f"run-{len(made)}"
        made.append(context_of(folder, step, places or Places(objects=str(tmp_path / "objects")), **more))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training and six validation patients: images in every split."""
    folder = tmp_path_factory.mktemp("phantoms")
    generate(folder, PhantomSettings(train_patients=12, valid_patients=6, size=40), workers=1)
    return folder


@dataclass(frozen=True)
class Ingested:
    """What the step gave for the phantoms at 32 pixels."""

    manifest: Manifest
    shards: Shards
    verdict: Verdict


@pytest.fixture(scope="session")
def ingested(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    folder = tmp_path_factory.mktemp("ingested")
    places = Places(objects=str(folder / "objects"))
    context = context_of(folder, "ingest", places, {"source": str(phantoms), "size": "32"})
    verdict = ingest.run(context)
    manifest = Manifest.read(str(context.outputs / "manifest"))
    return Ingested(manifest, Shards.open(output(context, "shards")["uri"]), verdict)


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow for all tests: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.sqlite"
