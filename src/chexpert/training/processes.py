"""Several processes that train as one: what they add up, how they wait, and batch norms that see the whole batch.

torchrun starts them; a training alone is the case of one, in which nothing here does anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, distributed, nn

__all__ = ["PEER_S", "place", "share", "summed", "synced_norms", "wait"]

PEER_S: Final = 600
"""Seconds to wait for another process. Over it that one is gone without a word, and the others end too, to be started
again together. Longer than copying the shards or writing a model may take one process more than another."""


def place() -> tuple[int, int]:
    """This process's number and how many there are: (0, 1) for one that torchrun did not start."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def share(count: int, part: tuple[int, int]) -> slice:
    """Which of `count` things fall to number `part[0]` of `part[1]`: as numpy.array_split, neighbours together."""
    number, parts = part
    size, longer = divmod(count, parts)
    start = number * size + min(number, longer)
    return slice(start, start + size + (number < longer))


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, in each of them; without gradient."""
    if _alone():
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


class _Summed(torch.autograd.Function):
    """The sum over all processes; each one's gradient is the sum of what all make of it."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return summed(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return summed(gradient)


def wait() -> None:
    """Until every process is here; an error where one has ended."""
    if not _alone():
        distributed.all_reduce(torch.zeros((), device=_device()))


@contextmanager
def synced_norms(network: nn.Module) -> Iterator[None]:
    """Within the block, batch norms in training use mean and variance of all processes' images, not of their own.

    torch's SyncBatchNorm does so on GPUs alone; without it a network trained by two processes is another one.
    """
    norms = [] if place()[1] == 1 else [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.__dict__["forward"] = partial(_forward, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.__dict__["forward"]


def _forward(norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    if not norm.training or norm.running_mean is None or norm.running_var is None:
        result: Tensor = type(norm).forward(norm, images)
        return result
    mean, variance, count = _statistics(images.to(norm.running_mean.dtype))  # autocast's halves are too coarse
    with torch.no_grad():
        momentum = norm.momentum or 0.0
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    scale = torch.rsqrt(variance + norm.eps) * norm.weight
    normed = images * scale.view(1, -1, 1, 1) + (norm.bias - mean * scale).view(1, -1, 1, 1)
    # timm's BatchNormAct2d brings its dropout and activation along.
    for name in ("drop", "act"):
        normed = getattr(norm, name, nn.Identity())(normed)
    return normed.to(images.dtype)


def _statistics(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,) and biased variance (C,) over the images of all processes, with gradient, and the values per channel.

    Each process's own are exchanged and combined as by Chan et al. (1979): a sum of squares would lose digits.
    """
    rank, world = place()
    channels = images.shape[1]
    own_mean = images.mean((0, 2, 3))
    own_squares = (images - own_mean.view(1, -1, 1, 1)).square().sum((0, 2, 3))
    own = torch.cat((own_mean, own_squares, own_mean.new_tensor([images.numel() / channels])))
    empty = torch.zeros_like(own)
    rows: Tensor = _Summed.apply(torch.stack([own if other == rank else empty for other in range(world)]))
    means, squares, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:].detach()
    count = counts.sum()
    mean = (means * counts).sum(0) / count
    variance = (squares + counts * (means - mean).square()).sum(0) / count
    return mean, variance, count


def _alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized())


def _device() -> torch.device:
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
