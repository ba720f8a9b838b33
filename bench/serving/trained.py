"""The networks that are served, made by the product's own steps: phantoms, ingest, training, evaluation.

Random weights would not do: what their reduced variants lose says nothing, and the gate takes none of them.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bench._saving import processor

from chexpert.data.manifest import Manifest
from chexpert.data.phantoms import PhantomSettings, generate
from chexpert.data.shards import Shards
from chexpert.domain.places import Places
from chexpert.networks.settings import NetworkSettings
from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps import evaluate, ingest
from chexpert.pipeline.variants import Evaluated
from chexpert.registry.tracking import Tracker
from chexpert.training.fit import fit
from chexpert.training.settings import TrainingSettings, recipe

PHANTOMS: Final = PhantomSettings(train_patients=420, valid_patients=160, size=320, seed=5, noise=0.0)
"""Some 750 and 290 images, exactly labelled: what a network may learn of them in minutes."""
JUDGED: Final = 250
"""Evaluation images on which the gate compares the variants: with fewer, one other flag is more than the 0.5 % it
allows."""
# Half of the time of 32 bits where the processor computes in it, and several times as long where it does not.
_PRECISION: Final = "bf16-mixed" if "avx512_bf16" in processor() else "32-true"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One network, its image size in pixels, and how it is trained."""

    network: str
    size: int
    settings: TrainingSettings = field(default_factory=TrainingSettings)


LARGE: Final = Recipe(
    "densenet121",
    320,
    # From random weights: the recipe's own rate is for pretrained ones.
    replace(recipe("densenet121"), epochs=6, batch=16, learning_rate=1e-3, precision=_PRECISION, threads=0),
)
SMALL: Final = Recipe("small-cnn", 64, replace(recipe("small-cnn"), epochs=2))


def trained(root: Path, wanted: Recipe) -> Evaluated:
    """Train and evaluate below `root`; what an earlier call left there is gone on with.

    The network lies in root/<network>/network, with its calibration beside it, for torch.
    """
    phantoms, folder = root / "phantoms", root / wanted.network
    if not (phantoms / "finished").exists():
        generate(phantoms, PHANTOMS)
        (phantoms / "finished").touch()
    folder.mkdir(parents=True, exist_ok=True)
    places = Places(objects=str(root / "objects"), tracking=f"sqlite:///{root}/mlflow.db")

    def context(step: str, **parameters: str) -> StepContext:
        return StepContext(step, STEPS[step].resolve(parameters), folder, folder, places, "bench")

    ingest.run(context("ingest", source=str(phantoms), size=str(wanted.size)))
    manifest = Manifest.read(str(folder / "manifest"))
    shards = Shards.open(json.loads((folder / "shards").read_text())["uri"])
    (folder / "model-cnn").write_text(json.dumps(_fitted(manifest, shards, wanted, places)))
    evaluate.run(context("evaluate", profile="phantom"))
    evaluation = json.loads((folder / "evaluation").read_text())
    shutil.copytree(evaluation["model"]["uri"], folder / "network", dirs_exist_ok=True)
    (folder / "network" / "calibration.json").write_text(json.dumps(evaluation["calibration"]))
    return Evaluated(evaluation, manifest, shards, JUDGED)


def _fitted(manifest: Manifest, shards: Shards, wanted: Recipe, places: Places) -> dict[str, Any]:
    """As the step `train` hands it on."""
    network = NetworkSettings(wanted.network, image_size=wanted.size)
    with Tracker(places.tracking).run(experiment="training", name=f"bench/{wanted.network}", tags={}) as run:
        model = fit(manifest, shards, wanted.settings, network, output_uri=places.object("models"), tracker=run)
        run_id = run.run_id
    return {"uri": model.uri, "digest": model.digest, "network": wanted.network, "run_id": run_id}


def described(evaluated: Evaluated) -> dict[str, Any]:
    """What was trained and how well, for the record."""
    facts = evaluated.evaluation
    return {"network": facts["model"]["network"], "phantoms": asdict(PHANTOMS), "auroc": facts["mean"]}
