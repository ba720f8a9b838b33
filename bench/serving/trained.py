"""The networks that are served, made by the product's own steps: phantoms, ingest, training, evaluation.

Random weights would not do: what their reduced variants lose says nothing, and the gate takes none of them.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.serving.fixtures import NETWORK, SIZE, SMALL_NETWORK, SMALL_SIZE

from chexpert.data.manifest import Manifest
from chexpert.data.phantoms import PhantomSettings, generate
from chexpert.data.shards import Shards
from chexpert.domain.places import Places
from chexpert.evaluation.calibration import Platt
from chexpert.gitops.repository import seed
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks import store
from chexpert.networks.settings import NetworkSettings
from chexpert.networks.store import WEIGHTS
from chexpert.optimise.export import export_plain
from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps import evaluate, ingest
from chexpert.pipeline.variants import Evaluated
from chexpert.registry.tracking import Tracker
from chexpert.training.fit import fit
from chexpert.training.settings import TrainingSettings, recipe

PHANTOMS: Final = PhantomSettings(train_patients=900, valid_patients=480, size=320, seed=5, noise=0.0)
"""1,700 and 533 images, exactly labelled. The gate compares the variants on the second: of those 0.5 %, which may be
flagged otherwise, are two images."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a training."""

    size: int
    """Of the images, pixels."""
    settings: TrainingSettings
    images: int = 0
    """At most; 0: all."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One network, and how it is trained."""

    network: str
    stages: Sequence[Stage]
    """Each goes on with the weights of the one before. Images of the last one's size are served."""

    @property
    def size(self) -> int:
        """Of the images that are served, pixels."""
        return self.stages[-1].size


# Small images first: a step at 320 px takes 25 times as long as one at 64. From random weights, so at ten times the
# recipe's own rate, which is for pretrained ones; lower at the end, where a few steps must not undo what was learned.
_LARGE: Final = replace(recipe(NETWORK), batch=16, learning_rate=1e-3)
LARGE: Final = Recipe(
    NETWORK,
    (
        Stage(64, replace(_LARGE, epochs=10)),
        Stage(160, replace(_LARGE, epochs=2)),
        Stage(SIZE, replace(_LARGE, epochs=1, learning_rate=3e-4, warm_up=0.2), images=960),
    ),
)
_VIT: Final = replace(recipe("vit-s16"), learning_rate=3e-4)
VIT: Final = Recipe(
    "vit-s16",
    (
        Stage(64, replace(_VIT, epochs=12)),
        Stage(224, replace(_VIT, epochs=1, learning_rate=1e-4), images=960),
    ),
)
"""Not served by the benchmark: its variants are compared."""
SMALL: Final = Recipe(SMALL_NETWORK, (Stage(SMALL_SIZE, replace(recipe(SMALL_NETWORK), epochs=2)),))


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
        for stage in wanted.stages:
            ingest.run(context("ingest", source=str(phantoms), size=str(stage.size), limit=str(stage.images)))
            network = NetworkSettings(wanted.network, image_size=stage.size, weights=weights)
            facts = _fitted(folder, stage.settings, network, places)
            weights = str(Path(facts["uri"]) / WEIGHTS)
        (folder / "model-cnn").write_text(json.dumps(facts))
    if not (folder / "evaluation").exists():
        evaluate.run(context("evaluate", profile="phantom"))
    evaluation = json.loads((folder / "evaluation").read_text())
    shutil.copytree(evaluation["model"]["uri"], folder / "network", dirs_exist_ok=True)
    (folder / "network" / "calibration.json").write_text(json.dumps(evaluation["calibration"]))
    return Evaluated(evaluation, *_data(folder))


def _data(folder: Path) -> tuple[Manifest, Shards]:
    """As the step `ingest` left them."""
    return Manifest.read(str(folder / "manifest")), Shards.open(json.loads((folder / "shards").read_text())["uri"])


def _fitted(folder: Path, settings: TrainingSettings, network: NetworkSettings, places: Places) -> dict[str, Any]:
    """As the step `train` hands it on."""
    with Tracker(places.tracking).run(experiment="training", name=f"bench/{network.name}", tags={}) as run:
        model = fit(*_data(folder), settings, network, output_uri=places.object("models"), tracker=run)
        run_id = run.run_id
    return {"uri": model.uri, "digest": model.digest, "network": network.name, "run_id": run_id}


def as_exported(evaluated: Evaluated, path: Path) -> Path:
    """Its network and calibration as torch's exporter writes them."""
    facts = evaluated.evaluation
    spec = PreprocessSpec(size=evaluated.shards.size)
    return export_plain(store.load(facts["model"]["uri"]), Platt.from_dict(facts["calibration"]), spec, path)


def described(evaluated: Evaluated) -> dict[str, Any]:
    """What was trained and how well, for the record."""
    facts = evaluated.evaluation
    return {"network": facts["model"]["network"], "phantoms": asdict(PHANTOMS), "auroc": facts["mean"]}
