"""Training learns, repeats itself, goes on after a kill, and refuses what it cannot train on."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chexpert.data.errors import MissingPixels
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.evaluation.auroc import aurocs
from chexpert.networks.backbones import BACKBONES
from chexpert.networks.settings import NetworkSettings
from chexpert.networks.store import load
from chexpert.training.errors import NothingToTrainOn, UnequalSizes
from chexpert.training.fit import TRAINING, TrainedModel, fit
from chexpert.training.predict import predict
from chexpert.training.progress import Step
from chexpert.training.settings import TrainingSettings, recipe
from chexpert.training.targets import read_targets

Dataset = tuple[Manifest, Shards]

# One thread: the machine that runs the tests is busy with others.
SETTINGS = TrainingSettings(epochs=3, batch=24, learning_rate=4e-3, threads=1)
NETWORK = NetworkSettings(image_size=32, dropout=0.1, drop_path=0.1)
STEPS_PER_EPOCH = 4


@dataclass
class Kept:
    """A tracked run in memory."""

    given: dict[str, Any] = field(default_factory=dict)
    curves: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    labels: dict[str, Any] = field(default_factory=dict)

    def params(self, values: Mapping[str, Any], /) -> None:
        """Keep settings."""
        self.given.update(values)

    def metrics(self, values: Mapping[str, float], /, step: int) -> None:
        """Keep figures."""
        self.curves.append((step, values))

    def tags(self, values: Mapping[str, Any], /) -> None:
        """Keep facts."""
        self.labels.update(values)


@pytest.fixture(scope="module")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return fit(*dataset, SETTINGS, NETWORK, output_uri=str(tmp_path_factory.mktemp("models")))


def test_training_learns(dataset: Dataset, tmp_path: Path) -> None:
    """The loss falls and the drawn findings of images never trained on are ranked well above chance."""
    manifest, shards = dataset
    settings = replace(SETTINGS, epochs=10, augmentation=None)
    result = fit(manifest, shards, settings, NetworkSettings(image_size=32), output_uri=str(tmp_path))
    assert result.curves[-1].train_loss < 0.8 * result.curves[0].train_loss
    assert result.metrics["tune_auroc"] > 0.65


def test_the_model_is_written_under_its_digest(trained: TrainedModel, dataset: Dataset) -> None:
    """What lies at the URI answers as the network that was returned, and says how it came about."""
    manifest, shards = dataset
    rows = shards.find(manifest.column("sha256")[manifest.rows("tune")])
    assert trained.uri.endswith(f"/{trained.digest}")
    stored = load(trained.uri)
    np.testing.assert_array_equal(predict(stored, shards, rows), predict(trained.network, shards, rows))
    facts = json.loads((Path(trained.uri) / TRAINING).read_text())
    assert facts["manifest"] == manifest.digest
    assert facts["settings"]["policies"]["Edema"] == "smooth-ones"
    assert len(facts["curves"]) == SETTINGS.epochs


def test_metrics_are_those_of_the_network_that_is_kept(trained: TrainedModel, dataset: Dataset) -> None:
    """The kept epoch has the lowest tune loss, and its AUROC is what the returned network reaches."""
    manifest, shards = dataset
    rows = manifest.rows("tune")
    logits = predict(trained.network, shards, shards.find(manifest.column("sha256")[rows]), batch=7)
    assert trained.metrics["tune_loss"] == min(epoch.tune_loss or 9.0 for epoch in trained.curves)
    names = manifest.column("sha256")[rows]
    truth = read_targets(manifest.labels()[rows], names, ["drawn"] * len(rows), SETTINGS).truth
    assert trained.metrics["tune_auroc"] == pytest.approx(aurocs(truth, logits).mean, abs=1e-3)


def test_nothing_unfinished_is_left(trained: TrainedModel) -> None:
    """Checkpoints are gone once the model is written."""
    assert not list(Path(trained.uri).parent.rglob("*.ckpt"))


def test_equal_settings_give_equal_weights(trained: TrainedModel, dataset: Dataset, tmp_path: Path) -> None:
    """A second run ends with the same digest; another seed does not."""
    assert fit(*dataset, SETTINGS, NETWORK, output_uri=str(tmp_path)).digest == trained.digest
    other = fit(*dataset, replace(SETTINGS, seed=1), NETWORK, output_uri=str(tmp_path))
    assert other.digest != trained.digest


def _killed_at(step: int, dataset: Dataset, output_uri: str) -> None:
    def kill(now: Step) -> None:
        if now.done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    fit(*dataset, SETTINGS, NETWORK, output_uri=output_uri, progress=kill)


@pytest.fixture
def killed_at(dataset: Dataset, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Train in a process that is killed at a step; its exit code.

    The process is not a fork of this one: torch refuses autograd there once another test has started its threads.
    """
    monkeypatch.syspath_prepend(pytestconfig.rootpath)  # where the process finds this file
    context = get_context("forkserver")
    context.set_forkserver_preload(["chexpert.training.fit"])

    def run(step: int, output_uri: str) -> int:
        process = context.Process(target=_killed_at, args=(step, dataset, output_uri))
        process.start()
        process.join(100)
        assert process.exitcode is not None
        return process.exitcode

    return run


@pytest.mark.parametrize("step", [2, 7, STEPS_PER_EPOCH * 3])
def test_a_killed_run_ends_as_if_it_had_not_been(
    trained: TrainedModel,
    dataset: Dataset,
    tmp_path: Path,
    killed_at: Callable[..., int],
    step: int,
) -> None:
    """SIGKILL in the first epoch, within the second, or at the last step: the next call ends with the same weights."""
    output = str(tmp_path / "models")
    assert killed_at(step, output) == -signal.SIGKILL
    told: list[Step] = []
    resumed = fit(*dataset, SETTINGS, NETWORK, output_uri=output, progress=told.append)
    assert bool(told[0].text) is (step > STEPS_PER_EPOCH)
    steps = [now.done for now in told if not now.text]
    assert steps[0] == (step - 1) // STEPS_PER_EPOCH * STEPS_PER_EPOCH + 1
    assert steps[-1] == SETTINGS.epochs * STEPS_PER_EPOCH
    assert resumed.digest == trained.digest
    assert [epoch.train_loss for epoch in resumed.curves] == [epoch.train_loss for epoch in trained.curves]


def test_other_settings_do_not_take_up_a_killed_run(
    dataset: Dataset, tmp_path: Path, killed_at: Callable[..., int]
) -> None:
    """A checkpoint belongs to one set of data and settings: with another rate, training begins at its first step."""
    output = str(tmp_path / "models")
    assert killed_at(7, output) == -signal.SIGKILL
    assert list(Path(output).rglob("last.ckpt"))
    steps: list[int] = []
    settings = replace(SETTINGS, epochs=1)
    fit(*dataset, settings, NETWORK, output_uri=output, progress=lambda now: steps.append(now.done))
    assert steps[0] == 1


def test_checkpoints_and_model_go_to_any_store(dataset: Dataset) -> None:
    """An object store without renames takes them as well as a folder."""
    result = fit(*dataset, replace(SETTINGS, epochs=1), NETWORK, output_uri="memory://test-fit/models")
    assert load(result.uri).settings == NETWORK


def test_a_run_takes_parameters_and_curves(dataset: Dataset, tmp_path: Path) -> None:
    """Settings, network and counts are recorded once, and one row of figures per epoch."""
    run = Kept()
    fit(*dataset, replace(SETTINGS, epochs=2), NETWORK, output_uri=str(tmp_path), tracker=run)
    assert run.given["learning_rate"] == SETTINGS.learning_rate
    assert run.given["network.name"] == "small-cnn"
    assert run.given["policies.Edema"] == "smooth-ones"
    assert run.given["train_images"] == 96
    assert [step for step, _ in run.curves] == [0, 1]
    assert {"train_loss", "tune_loss", "tune_auroc", "images_per_s"} == set(run.curves[0][1])


def test_without_a_tune_split_the_training_loss_chooses(dataset: Dataset, tmp_path: Path) -> None:
    """An empty tune split is no error: its figures are missing, and the model is there."""
    manifest, shards = dataset
    result = fit(
        manifest.select(manifest.rows("train")),
        shards,
        replace(SETTINGS, epochs=1),
        NETWORK,
        output_uri=str(tmp_path),
    )
    assert result.curves[0].tune_loss is None
    assert set(result.metrics) == {"epoch", "train_loss", "images_per_s"}


def _without_training(manifest: Manifest) -> Manifest:
    return manifest.select(manifest.rows("tune"))


def _unlabelled(manifest: Manifest) -> Manifest:
    blank = manifest.replaced("source", ["feedback"] * len(manifest))
    for name in (column.name for column in blank.table.schema if str(column.type) == "int8"):
        blank = blank.replaced(name, [None] * len(blank))
    return blank


@pytest.mark.parametrize(("change", "rows"), [(_without_training, "0"), (_unlabelled, "96")])
def test_nothing_to_train_on_is_refused(
    dataset: Dataset,
    tmp_path: Path,
    change: Callable[[Manifest], Manifest],
    rows: str,
) -> None:
    """No training row, or none with a label that counts, is said before anything is written."""
    manifest, shards = dataset
    with pytest.raises(NothingToTrainOn, match=f"{rows} training rows"):
        fit(change(manifest), shards, SETTINGS, NETWORK, output_uri=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_unequal_sizes_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    """A network of another image size than the shards' is refused with both sizes."""
    with pytest.raises(UnequalSizes, match=r"64 px.*32 px"):
        fit(*dataset, SETTINGS, NetworkSettings(image_size=64), output_uri=str(tmp_path))


def test_missing_pixels_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    """A row whose image is in no shard is named."""
    manifest, shards = dataset
    with pytest.raises(MissingPixels):
        fit(
            manifest.replaced("sha256", ["0" * 64] * len(manifest)), shards, SETTINGS, NETWORK, output_uri=str(tmp_path)
        )


@pytest.mark.parametrize("name", BACKBONES)
def test_every_network_has_a_recipe(name: str) -> None:
    """Each network by name has its own epochs, batch and rate; an unknown one gets the defaults."""
    assert recipe(name).learning_rate > 0
    assert recipe("unknown") == TrainingSettings()
    assert recipe("densenet121").learning_rate < recipe("small-cnn").learning_rate
