"""Where a run that was killed goes on: checkpoints by fsspec URI, under the digest of all that decides the result."""

import io
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from fsspec.core import url_to_fs
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from chexpert.data import objects
from chexpert.domain.digests import of_bytes, of_value
from chexpert.networks.settings import NetworkSettings
from chexpert.training.module import SCORE
from chexpert.training.settings import TrainingSettings

__all__ = ["BEST", "LAST", "StagedCheckpoints", "callbacks", "run_key", "settings_to_dict"]

BEST = "best.ckpt"
LAST = "last.ckpt"


class StagedCheckpoints(CheckpointIO):
    """Reads and writes any fsspec URI; a checkpoint is visible only when it is complete.

    Lightning's own writer moves a local file from the system's temporary folder, which is a copy where that lies on
    another disk: killed within it, a torn checkpoint stays behind.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Serialise, then put in place."""
        del storage_options
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        objects.write_bytes(str(path), buffer.getvalue())

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Plain tensors and values only, whatever the caller asks: a checkpoint runs no code."""
        del weights_only
        data = io.BytesIO(objects.read_bytes(str(path)))
        checkpoint: dict[str, Any] = torch.load(data, map_location=map_location or "cpu", weights_only=True)
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove if it is there."""
        filesystem, place = url_to_fs(str(path))
        if filesystem.exists(place):
            filesystem.rm(place)


def callbacks(folder_uri: str) -> list[ModelCheckpoint]:
    """Best and last of all epochs. Two, since Lightning's `save_last` follows only a checkpoint that was kept."""
    common: dict[str, Any] = {
        "dirpath": folder_uri,
        "save_on_train_epoch_end": True,
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
    }
    best = ModelCheckpoint(filename=BEST.removesuffix(".ckpt"), monitor=SCORE, mode="max", **common)
    last = ModelCheckpoint(filename=LAST.removesuffix(".ckpt"), **common)
    return [best, last]


def run_key(manifest_digest: str, shards_digest: str, settings: TrainingSettings, network: NetworkSettings) -> str:
    """Digest of all that decides the result: only a run with the same one may be taken up again."""
    weights = of_bytes(Path(network.weights).read_bytes()) if network.weights else ""
    return of_value(
        {
            "manifest": manifest_digest,
            "shards": shards_digest,
            "settings": settings_to_dict(settings),
            "network": {**asdict(network), "weights": weights},
        },
    )


def settings_to_dict(settings: TrainingSettings) -> dict[str, Any]:
    """JSON-like."""
    return {
        **{f.name: getattr(settings, f.name) for f in fields(settings)},
        "augmentation": settings.augmentation and asdict(settings.augmentation),
        "policies": {str(o): str(policy) for o, policy in settings.policies.items()},
        "masked_blanks": sorted(settings.masked_blanks),
    }
