"""The networks that are served, made by the product's own steps: phantoms, ingest, training, evaluation.

Random weights would not do: what their reduced variants lose says nothing, and the gate takes none of them.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from chexpert.data.manifest import Manifest
from chexpert.data.phantoms import PhantomSettings, generate
from chexpert.data.shards import Shards
from chexpert.domain.places import Places
from chexpert.gitops.repository import seed
from chexpert.networks.settings import NetworkSettings
from chexpert.networks.store import WEIGHTS
from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps import evaluate, ingest
from chexpert.pipeline.variants import Evaluated
from chexpert.registry.tracking import Tracker
from chexpert.training.fit import fit
from chexpert.training.settings import TrainingSettings, recipe

PHANTOMS: Final = PhantomSettings(train_patients=420, valid_patients=160, size=320, seed=5, noise=0.0)
"""800 and 180 images, exactly labelled: what a network may learn of them in minutes."""
JUDGED: Final = 200
"""Evaluation images on which the gate compares the variants, at most. Of 180 one other flag is 0.56 %, more than the
0.5 % that it allows."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One network, and how it is trained."""

    network: str
    stages: Sequence[tuple[int, int, int]]
    """Image size in pixels, epochs, and images at most (0: all); each goes on with the weights of the one before. The
    last size is served."""
    settings: TrainingSettings

    @property
    def size(self) -> int:
        """Of the images that are served, pixels."""
        return self.stages[-1][0]


# Small images first: a step at 320 px takes 25 times as long as one at 64. From random weights, so at ten times the
# recipe's own rate, which is for pretrained ones.
LARGE: Final = Recipe(
    "densenet121", ((64, 6, 0), (320, 1, 240)), replace(recipe("densenet121"), batch=16, learning_rate=1e-3)
)
SMALL: Final = Recipe("small-cnn", ((64, 2, 0),), recipe("small-cnn"))


def trained(root: Path, wanted: Recipe) -> Evaluated:
    """Train and evaluate below `root`; what an earlier call left there is gone on with.

    The network lies in root/<network>/network, with its calibration beside it, for torch.
    """
    phantoms, folder = root / "phantoms", root / wanted.network
    if not (phantoms / "finished").exists():
        generate(phantoms, PHANTOMS)
        (phantoms / "finished").touch()
    folder.mkdir(parents=True, exist_ok=True)
    seed(root / "gitops.git", Path("kserve"))  # evaluate asks it for the incumbent: there is none
    places = Places(
        objects=str(root / "objects"), tracking=f"sqlite:///{root}/mlflow.db", gitops=str(root / "gitops.git")
    )

    def context(step: str, **parameters: str) -> StepContext:
        return StepContext(step, STEPS[step].resolve(parameters), folder, folder, places, "bench")

    if not (folder / "model-cnn").exists():
        weights = ""
        for size, epochs, limit in wanted.stages:
            ingest.run(context("ingest", source=str(phantoms), size=str(size), limit=str(limit)))
            network = NetworkSettings(wanted.network, image_size=size, weights=weights)
            facts = _fitted(folder, replace(wanted.settings, epochs=epochs), network, places)
            weights = str(Path(facts["uri"]) / WEIGHTS)
        (folder / "model-cnn").write_text(json.dumps(facts))
    evaluate.run(context("evaluate", profile="phantom"))
    evaluation = json.loads((folder / "evaluation").read_text())
    shutil.copytree(evaluation["model"]["uri"], folder / "network", dirs_exist_ok=True)
    (folder / "network" / "calibration.json").write_text(json.dumps(evaluation["calibration"]))
    return Evaluated(evaluation, *_data(folder), JUDGED)


def _data(folder: Path) -> tuple[Manifest, Shards]:
    """As the step `ingest` left them."""
    return Manifest.read(str(folder / "manifest")), Shards.open(json.loads((folder / "shards").read_text())["uri"])


def _fitted(folder: Path, settings: TrainingSettings, network: NetworkSettings, places: Places) -> dict[str, Any]:
    """As the step `train` hands it on."""
    with Tracker(places.tracking).run(experiment="training", name=f"bench/{network.name}", tags={}) as run:
        model = fit(*_data(folder), settings, network, output_uri=places.object("models"), tracker=run)
        run_id = run.run_id
    return {"uri": model.uri, "digest": model.digest, "network": network.name, "run_id": run_id}


def described(evaluated: Evaluated) -> dict[str, Any]:
    """What was trained and how well, for the record."""
    facts = evaluated.evaluation
    return {"network": facts["model"]["network"], "phantoms": asdict(PHANTOMS), "auroc": facts["mean"]}
