"""The Lightning module: loss, optimiser, and the look at the tune split after each epoch."""

import time
from dataclasses import asdict, dataclass
from math import cos, isnan, pi
from typing import Any, Final

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from chexpert.data.shards import Shards
from chexpert.domain.observations import OBSERVATIONS
from chexpert.evaluation.auroc import aurocs
from chexpert.networks.build import Network, as_images
from chexpert.training.augmentation import augment
from chexpert.training.batches import Batch, Batches
from chexpert.training.predict import predict
from chexpert.training.processes import share, summed
from chexpert.training.progress import Epoch
from chexpert.training.settings import TrainingSettings
from chexpert.training.targets import Targets

__all__ = ["SCORE", "Part", "TrainingModule", "masked_loss"]

SCORE: Final = "score"
"""What checkpoints are compared by, see `Epoch.score`."""

_SEED_STRIDE: Final = 1_000_003
_RANK_STRIDE: Final = 1 << 40


def masked_loss(logits: Tensor, targets: Tensor, weights: Tensor, total: Tensor | None = None) -> Tensor:
    """Binary cross entropy, mean over the labels that count; 0 where none does. All (n, 14).

    `total` is how many labels count where these are a share of a batch: the shares' results add up to the batch's.
    """
    losses = binary_cross_entropy_with_logits(logits, targets, weight=weights, reduction="sum")
    return losses / (weights.sum() if total is None else total).clamp(min=1.0)


@dataclass(frozen=True, slots=True)
class Part:
    """Images of one split and what is asked of them."""

    rows: NDArray[np.int64]
    """In the shards."""
    targets: Targets


class TrainingModule(LightningModule):
    """Trains `network`; `curves` grows by one entry per epoch and survives in the checkpoint."""

    def __init__(
        self,
        network: Network,
        settings: TrainingSettings,
        shards: Shards,
        *,
        train: Part,
        tune: Part,
    ) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.shards = shards
        self.train_part = train
        self.tune_part = tune
        self.curves: list[Epoch] = []
        self._batches: Batches
        self._loss_sum = torch.zeros(())
        self._images = 0
        self._started = 0.0

    def train_dataloader(self) -> Batches:
        """Batches of this process."""
        self._batches = Batches(
            self.shards,
            self.train_part.rows,
            self.train_part.targets,
            batch=self.settings.batch,
            seed=self.settings.seed,
            epoch=lambda: self.current_epoch,
            part=self._part,
        )
        return self._batches

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._loss_sum = torch.zeros((), device=self.device)
        self._images = 0
        self._started = time.perf_counter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch; randomness depends on seed and step alone, so that a resumed run draws the same.

        A process's share of the loss is returned times their number, since gradients are averaged and not added.
        """
        pixels, targets, weights = batch
        rank, world = self._part
        seed = self.settings.seed * _SEED_STRIDE + self.global_step
        torch.manual_seed(seed + rank * _RANK_STRIDE)
        images, count = as_images(pixels).to(self.dtype), self._batches.images(batch_idx)
        if self.settings.augmentation is not None:
            generator = torch.Generator().manual_seed(seed)
            images = augment(images, self.settings.augmentation, generator, among=(share(count, self._part), count))
        loss = masked_loss(self.network(images), targets, weights, total=summed(weights.sum()))
        self._loss_sum += loss.detach() * count
        self._images += count
        return loss * world

    def mean_loss(self) -> float:
        """Of the epoch so far, as seen by this process; waits for the device."""
        return float(self._loss_sum) * self._part[1] / max(1, self._images)

    def on_train_epoch_end(self) -> None:
        """Measure the tune split and keep the figures."""
        seconds = time.perf_counter() - self._started
        loss, auroc = self._tune_figures()
        train_loss = float(summed(self._loss_sum)) / self._images
        self.curves.append(Epoch(self.current_epoch, train_loss, loss, auroc, self._images / seconds))
        self.log(SCORE, self.curves[-1].score(self.settings.best_by), on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises linearly, then falls as a cosine to zero."""
        settings = self.settings
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer: Optimizer = AdamW(groups, lr=settings.learning_rate)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        rising = max(1, round(settings.warm_up * steps))

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1.0 + cos(pi * min(1.0, (step - rising) / max(1, steps - rising))))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curves."""
        checkpoint["curves"] = [asdict(epoch) for epoch in self.curves]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the curves up again."""
        self.curves = [Epoch(**epoch) for epoch in checkpoint["curves"]]

    def _tune_figures(self) -> tuple[float | None, float | None]:
        tune = self.tune_part
        if not len(tune.rows):
            return None, None
        logits = self._logits(tune.rows)
        tensors = (torch.from_numpy(array) for array in (logits, tune.targets.values, tune.targets.weights))
        auroc = aurocs(tune.targets.truth, logits).mean if bool(np.isfinite(logits).all()) else float("nan")
        return float(masked_loss(*tensors)), None if isnan(auroc) else auroc

    @property
    def _part(self) -> tuple[int, int]:
        return self.global_rank, self.trainer.world_size

    def _logits(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Each process looks at its share of the rows and gets the others'."""
        own = share(len(rows), self._part)
        logits = np.zeros((len(rows), len(OBSERVATIONS)), np.float32)
        logits[own] = predict(self.network, self.shards, rows[own])
        gathered: NDArray[np.float32] = summed(torch.from_numpy(logits).to(self.device)).cpu().numpy()
        return gathered
