"""Lightning's trainer, set up to be quiet, resumable and repeatable."""

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy

from chexpert.bundle.cpus import available_cpus
from chexpert.training.checkpoints import StagedCheckpoints, callbacks
from chexpert.training.module import TrainingModule
from chexpert.training.processes import PEER_S
from chexpert.training.progress import Progress, Run, Step
from chexpert.training.settings import TrainingSettings

__all__ = ["Reporter", "cpu_threads", "quiet", "trainer"]

_LOOK_S: Final = 1.0
_CHATTY: Final = ("lightning.pytorch", "lightning.fabric", "lightning")


class Reporter(Callback):
    """Passes steps to a progress callback and each epoch's figures to a tracked run."""

    def __init__(self, progress: Progress | None, run: Run | None) -> None:
        self._progress = progress
        self._run = run
        self._looked = 0.0
        self._loss = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say from where a run that was killed goes on."""
        del pl_module
        if self._progress is not None and (done := trainer.current_epoch):
            text = f"a killed run is resumed after epoch {done} of {trainer.max_epochs}"
            self._progress(Step(trainer.global_step, int(trainer.estimated_stepping_batches), self._loss, text))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Report the step; the loss is read from the device at most once a second, since that waits for it."""
        del outputs, batch, batch_idx
        if self._progress is None or not isinstance(pl_module, TrainingModule):
            return
        if (now := time.monotonic()) - self._looked >= _LOOK_S:
            self._loss, self._looked = pl_module.mean_loss(), now
        self._progress(Step(trainer.global_step, int(trainer.estimated_stepping_batches), self._loss))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the whole curve, so that a resumed run shows one without a gap."""
        if self._run is None or not trainer.is_global_zero or not isinstance(pl_module, TrainingModule):
            return
        for epoch in pl_module.curves:
            figures = {
                "train_loss": epoch.train_loss,
                "tune_loss": epoch.tune_loss,
                "tune_auroc": epoch.tune_auroc,
                "images_per_s": epoch.images_per_s,
            }
            self._run.metrics({k: v for k, v in figures.items() if v is not None}, step=epoch.epoch)


def trainer(settings: TrainingSettings, checkpoints_uri: str, reporter: Reporter) -> Trainer:
    """One process, or as many as torchrun started."""
    elastic = TorchElasticEnvironment.detect()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if elastic else 1
    return Trainer(
        max_epochs=settings.epochs,
        max_time=timedelta(seconds=settings.max_seconds) if settings.max_seconds else None,
        accelerator="auto",
        devices=local,
        num_nodes=int(os.environ["WORLD_SIZE"]) // local if elastic else 1,
        # Buffers are equal by themselves: batch norms are synced.
        strategy=DDPStrategy(timeout=timedelta(seconds=PEER_S), broadcast_buffers=False) if elastic else "auto",
        precision=settings.precision,  # type: ignore[arg-type]  # Lightning refuses unknown words by name
        gradient_clip_val=settings.gradient_norm or None,
        callbacks=[reporter, *callbacks(checkpoints_uri)],
        plugins=[StagedCheckpoints()],
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Torch's CPU threads within the block; 0: all that this process may use. Also right in a forked process."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or available_cpus())
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's greetings and hints that don't apply here off the screen; errors pass."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The loader is no DataLoader on purpose; resuming at an epoch's end is what checkpoints are for.
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
