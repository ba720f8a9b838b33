"""Batches gathered whole from the memory-mapped shards, not image by image."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chexpert.data.shards import Shards
from chexpert.training.processes import share
from chexpert.training.targets import Targets

__all__ = ["Batch", "Batches"]

Rows = NDArray[np.int64]
Batch = tuple[Tensor, Tensor, Tensor]
"""uint8 images (n, 1, H, W), targets (n, 14), weights (n, 14)."""


class Batches:
    """One pass over the training images per iteration, in an order of seed and epoch alone."""

    def __init__(
        self,
        shards: Shards,
        rows: Rows,
        targets: Targets,
        *,
        batch: int,
        seed: int,
        epoch: Callable[[], int],
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """`batch` images are a step of all processes; `part` is (rank, world size); `epoch` is asked at each pass."""
        self._shards = shards
        self._rows = rows
        self._targets = targets
        self._seed = seed
        self._epoch = epoch
        self._count = -(-len(rows) // batch)
        self._part = part

    def __len__(self) -> int:
        return self._count

    def images(self, step: int) -> int:
        """Images of a step of the pass, over all processes. Steps are of nearly equal size: none is left with one."""
        whole = share(len(self._rows), (step, self._count))
        return int(whole.stop - whole.start)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self._seed, self._epoch()])
        order = rng.permutation(len(self._rows))
        for step in range(self._count):
            whole = order[share(len(order), (step, self._count))]
            chosen = whole[share(len(whole), self._part)]
            yield (
                torch.from_numpy(self._shards.take(self._rows[chosen])),
                torch.from_numpy(self._targets.values[chosen]),
                torch.from_numpy(self._targets.weights[chosen]),
            )
