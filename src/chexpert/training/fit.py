"""Train a network: the one call from manifest and shards to `models/<digest>/`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from fsspec.core import url_to_fs

from chexpert.data import objects
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.networks.build import Network, build
from chexpert.networks.settings import NetworkSettings
from chexpert.networks.store import encode, save
from chexpert.training import processes
from chexpert.training.checkpoints import BEST, LAST, StagedCheckpoints, run_key, settings_to_dict
from chexpert.training.errors import NothingToTrainOn, TooManyProcesses, UnequalSizes
from chexpert.training.loop import Reporter, cpu_threads, quiet, trainer
from chexpert.training.module import Part, TrainingModule
from chexpert.training.progress import Epoch, Progress, Run
from chexpert.training.settings import TrainingSettings
from chexpert.training.targets import read_targets

__all__ = ["TRAINING", "TrainedModel", "fit"]

TRAINING: Final = "training.json"
"""Beside weights and network.json: settings, data, curves."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A network as it was at its best epoch, and where it was written."""

    uri: str
    """Ends with the digest."""
    digest: str
    """Sha256 of network.json, which holds that of the weights."""
    network: Network
    """In eval mode, on the CPU."""
    metrics: Mapping[str, float]
    """Of the best epoch."""
    curves: tuple[Epoch, ...]


def fit(
    manifest: Manifest,
    shards: Shards,
    settings: TrainingSettings,
    network: NetworkSettings,
    *,
    output_uri: str,
    checkpoints_uri: str = "",
    tracker: Run | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train on split `train`, keep the epoch that is best on split `tune`, write it below `output_uri`.

    A run that was killed goes on at its last whole epoch when called again with the same data and settings, and ends
    with the same weights. Under torchrun each process calls this; together they train what one alone would, and the
    first writes it.

    Args:
        manifest: Labels, splits and image checksums.
        shards: Pixels of at least the two splits, of the network's image size.
        settings: Of the training.
        network: What is trained.
        output_uri: Folder or fsspec URI; the model lands in `<output_uri>/<digest>`.
        checkpoints_uri: Folder or fsspec URI of unfinished runs; default: `<output_uri>/unfinished`.
        tracker: Run that takes parameters and curves.
        progress: Called after each step, in this process.

    Raises:
        NothingToTrainOn: No row of the split, or no label that counts.
        TooManyProcesses: A step has fewer images than there are processes.
        UnequalSizes: Network and shards differ in image size.
        chexpert.data.errors.MissingPixels: Rows without pixels.
    """
    if shards.size != network.image_size:
        raise UnequalSizes(network.image_size, shards.size)
    train, tune = (_part(manifest, shards, split, settings) for split in ("train", "tune"))
    if not train.targets.weights.any():
        raise NothingToTrainOn(manifest.digest, len(train.rows))
    rank, world = processes.place()
    if (images := len(train.rows) // -(-len(train.rows) // settings.batch)) < world:
        raise TooManyProcesses(images, world)
    key = run_key(manifest.digest, shards.digest, settings, network)
    checkpoints = objects.child(checkpoints_uri or objects.child(output_uri, "unfinished"), key)
    if tracker is not None:
        tracker.params(_params(settings, network, train, tune))
    with cpu_threads(settings.threads), quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = TrainingModule(build(network), settings, shards, train=train, tune=tune)
        _run(module, checkpoints, Reporter(progress, tracker))
    trained = _trained(module, network, output_uri)
    if rank == 0:
        _write(module, trained, manifest.digest)
    processes.wait()
    if rank == 0:
        filesystem, place = url_to_fs(checkpoints)
        filesystem.rm(place, recursive=True)
    return trained


def _part(manifest: Manifest, shards: Shards, split: str, settings: TrainingSettings) -> Part:
    rows = manifest.rows(split)
    names = manifest.column("sha256")[rows]
    targets = read_targets(manifest.labels()[rows], names, manifest.column("source")[rows], settings)
    return Part(shards.find(names), targets)


def _run(module: TrainingModule, checkpoints: str, reporter: Reporter) -> None:
    filesystem, last = url_to_fs(f"{checkpoints}/{LAST}")
    # Channels last: 690 images/s became 1,011 on two CPUs with small-cnn at 64 px.
    module.network.to(memory_format=torch.channels_last)
    if module.settings.precision == "64-true":
        module.double()  # Lightning does so after it has read the checkpoint, whose weights it would round to 32 bits
    loop = trainer(module.settings, checkpoints, reporter)
    with processes.synced_norms(module.network):
        loop.fit(module, ckpt_path=f"{checkpoints}/{LAST}" if filesystem.exists(last) else None, weights_only=True)
    best = StagedCheckpoints().load_checkpoint(f"{checkpoints}/{BEST}")
    module.to("cpu", torch.float32).load_state_dict(best["state_dict"])
    module.network.to(memory_format=torch.contiguous_format)


def _trained(module: TrainingModule, network: NetworkSettings, output_uri: str) -> TrainedModel:
    trained = module.network.eval()
    _, digest = encode(trained, network)
    curves = tuple(module.curves)
    return TrainedModel(objects.child(output_uri, digest), digest, trained, _best(curves, module.settings), curves)


def _write(module: TrainingModule, trained: TrainedModel, manifest_digest: str) -> None:
    facts = {
        "settings": settings_to_dict(module.settings),
        "network": asdict(trained.network.settings),
        "manifest": manifest_digest,
        "shards": module.shards.digest,
        "preprocess": module.shards.spec.to_dict(),
        "curves": [asdict(epoch) for epoch in trained.curves],
    }
    text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
    objects.write_bytes(objects.child(trained.uri, TRAINING), text.encode())
    save(trained.network, trained.network.settings, trained.uri)


def _best(curves: tuple[Epoch, ...], settings: TrainingSettings) -> dict[str, float]:
    best = max(curves, key=lambda epoch: (epoch.score(settings.best_by), -epoch.epoch))
    return {name: float(value) for name, value in asdict(best).items() if value is not None}


def _params(settings: TrainingSettings, network: NetworkSettings, train: Part, tune: Part) -> dict[str, Any]:
    plain = settings_to_dict(settings)
    nested = {key: value for key, value in plain.items() if isinstance(value, dict)}
    return {
        **{key: value for key, value in plain.items() if key not in nested},
        **{f"{key}.{inner}": value for key, values in nested.items() for inner, value in values.items()},
        **{f"network.{key}": value for key, value in asdict(network).items()},
        "train_images": len(train.rows),
        "tune_images": len(tune.rows),
        "train_labels": int(np.sum(train.targets.weights)),
    }
