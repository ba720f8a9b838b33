"""Augmentation changes images lightly, and only by its generator."""

import pytest
import torch
from torch import Tensor

from chexpert.training.augmentation import augment
from chexpert.training.settings import Augmentation

OFF = Augmentation(rotation_degrees=0.0, shift=0.0, scale=0.0, contrast=0.0, brightness=0.0)


@pytest.fixture
def images() -> Tensor:
    return torch.rand((8, 1, 32, 32), generator=torch.Generator().manual_seed(1))


def _augment(images: Tensor, settings: Augmentation, seed: int = 0) -> Tensor:
    return augment(images, settings, torch.Generator().manual_seed(seed))


def test_all_off_changes_nothing(images: Tensor) -> None:
    """With every strength at 0 the images come back as they were."""
    torch.testing.assert_close(_augment(images, OFF), images, atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_images(images: Tensor) -> None:
    """Equal seeds agree, others do not; shape and range stay."""
    one = _augment(images, Augmentation())
    assert one.shape == images.shape
    assert one.min() >= 0.0
    assert one.max() <= 1.0
    torch.testing.assert_close(one, _augment(images, Augmentation()))
    assert not torch.allclose(one, _augment(images, Augmentation(), seed=1))


def test_each_image_has_its_own_draw() -> None:
    """Copies of one image come back different from each other."""
    same = torch.rand((1, 1, 32, 32)).repeat(4, 1, 1, 1)
    changed = _augment(same, Augmentation())
    assert not any(torch.allclose(changed[0], other) for other in changed[1:])


def test_left_stays_left() -> None:
    """The brighter side is never moved to the other one: the heart's side is a finding."""
    image = torch.zeros((64, 1, 32, 32))
    image[..., :16] = 0.8
    changed = _augment(image, Augmentation())
    assert (changed[..., :16].mean(dim=(1, 2, 3)) > changed[..., 16:].mean(dim=(1, 2, 3)) + 0.2).all()


def test_rotation_keeps_the_proportions() -> None:
    """A centred disc stays where it is under rotation alone, to half a grey level of the whole image."""
    axis = torch.linspace(-1, 1, 65)
    disc = (axis[:, None] ** 2 + axis[None] ** 2 < 0.4).float()[None, None].repeat(4, 1, 1, 1)
    turned = _augment(disc, Augmentation(45.0, 0.0, 0.0, 0.0, 0.0))
    assert (turned - disc).abs().mean() < 0.02
