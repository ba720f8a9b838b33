"""Light random changes of a batch of images, all from one generator."""

from math import pi

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from chexpert.training.settings import Augmentation

__all__ = ["augment"]


def augment(
    images: Tensor, settings: Augmentation, generator: Generator, *, among: tuple[slice, int] | None = None
) -> Tensor:
    """Rotate, scale, shift, and change contrast and brightness of each image (n, 1, H, W) in [0, 1] by its own draw.

    `generator` is a CPU generator, so that a GPU draws the same. `among` says which images of how many these are, where
    several processes share a batch: each gets the draw that it would have had in the whole.
    """
    count = len(images)
    own, total = among or (slice(0, count), count)
    draws = torch.rand((6, total), generator=generator)[:, own].mul_(2.0).sub_(1.0).to(images.device)
    angle = draws[0] * (settings.rotation_degrees * pi / 180.0)
    scale = 1.0 + draws[1] * settings.scale
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    shift = draws[2:4] * (2.0 * settings.shift)  # the grid runs from -1 to 1
    matrix = torch.stack((cosine, -sine, shift[0], sine, cosine, shift[1]), dim=1).view(count, 2, 3)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
    contrast = (1.0 + draws[4] * settings.contrast).view(-1, 1, 1, 1)
    brightness = (draws[5] * settings.brightness).view(-1, 1, 1, 1)
    return ((moved - 0.5) * contrast + (0.5 + brightness)).clamp_(0.0, 1.0)
