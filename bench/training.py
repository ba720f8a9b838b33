"""Lightning's loop against a bare loop over the same batches, and how fast batches are gathered.

Run: python bench/training.py. Both loops take turns in one process, three epochs each, and the medians are compared.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from _saving import save
from lightning.pytorch import Trainer
from PIL import Image

from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards, build
from chexpert.domain.digests import of_bytes
from chexpert.domain.observations import OBSERVATIONS
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import as_images
from chexpert.networks.build import build as build_network
from chexpert.networks.settings import NetworkSettings
from chexpert.training.batches import Batches
from chexpert.training.loop import Reporter, quiet
from chexpert.training.module import Part, TrainingModule
from chexpert.training.settings import TrainingSettings
from chexpert.training.targets import Targets


def main() -> None:
    """Print images/s of input alone and of both loops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="small-cnn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with TemporaryDirectory() as folder:
        shards, part = _dataset(Path(folder), asked.images, asked.size)
        alone = _input(shards, part)
        settings = TrainingSettings(epochs=3, batch=asked.batch)
        lightning = _lightning(asked.network, shards, part, settings)
        bare = _bare(asked.network, shards, part, settings)
        seconds: dict[str, list[float]] = {"lightning": [], "bare": []}
        for turn in range(asked.rounds + 1):
            for name, run in (("lightning", lightning), ("bare", bare)):
                started = time.perf_counter()
                run()
                if turn:  # the first pass sets up kernels
                    seconds[name].append(time.perf_counter() - started)
        result = {
            "what": f"{asked.network}, {asked.images} images at {asked.size} px, {asked.threads} threads",
            "input_images_per_s": round(alone),
            "images_per_s": {name: round(settings.epochs * asked.images / median(t)) for name, t in seconds.items()},
            "lightning_over_bare_time": round(median(seconds["lightning"]) / median(seconds["bare"]), 3),
            "rounds": asked.rounds,
        }
        save("training", result, ("torch", "lightning", "timm", "numpy"))


def _dataset(folder: Path, images: int, size: int) -> tuple[Shards, Part]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(images)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (size, size), dtype=np.uint8)).save(path)
    names = [of_bytes(path.read_bytes()) for path in paths]
    manifest = Manifest.of({"image_path": [str(path) for path in paths], "sha256": names}, images)
    _, shards, _ = build(manifest, str(folder / "shards"), PreprocessSpec(size=size))
    values = (rng.random((images, len(OBSERVATIONS))) < 0.3).astype(np.float32)  # noqa: PLR2004 -- any share will do
    return shards, Part(shards.find(names), Targets(values, np.ones_like(values), values))


def _input(shards: Shards, part: Part, passes: int = 20) -> float:
    batches = Batches(shards, part.rows, part.targets, batch=256, seed=0, epoch=lambda: 0)
    started = time.perf_counter()
    images = sum(len(as_images(pixels)) for _ in range(passes) for pixels, _, _ in batches)
    return images / (time.perf_counter() - started)


def _lightning(name: str, shards: Shards, part: Part, settings: TrainingSettings) -> Callable[[], None]:
    def run() -> None:
        torch.manual_seed(0)
        empty = Part(part.rows[:0], part.targets)
        network = build_network(NetworkSettings(name, shards.size)).to(memory_format=torch.channels_last)
        module = TrainingModule(network, settings, shards, train=part, tune=empty)
        with quiet():
            Trainer(
                max_epochs=settings.epochs,
                accelerator="cpu",
                gradient_clip_val=settings.gradient_norm,
                callbacks=[Reporter(lambda _: None, None)],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            ).fit(module)

    return run


def _bare(name: str, shards: Shards, part: Part, settings: TrainingSettings) -> Callable[[], None]:
    def run() -> None:
        torch.manual_seed(0)
        network = build_network(NetworkSettings(name, shards.size)).to(memory_format=torch.channels_last).train()
        module = TrainingModule(network, settings, shards, train=part, tune=part)
        batches = Batches(shards, part.rows, part.targets, batch=settings.batch, seed=0, epoch=lambda: 0)
        optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
        module.on_train_epoch_start()
        for number, batch in enumerate(batch for _ in range(settings.epochs) for batch in batches):
            optimizer.zero_grad()
            module.training_step(batch, number).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm)
            optimizer.step()
            scheduler.step()

    return run


if __name__ == "__main__":
    main()
