"""Batches hold every image once a pass, in an order of seed and epoch alone."""

import time

import numpy as np
import torch

from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.networks.build import as_images
from chexpert.training.batches import Batches
from chexpert.training.settings import TrainingSettings
from chexpert.training.targets import Targets, read_targets

Dataset = tuple[Manifest, Shards]


def _batches(dataset: Dataset, *, batch: int = 16, epoch: int = 0, part: tuple[int, int] = (0, 1)) -> Batches:
    manifest, shards = dataset
    rows = manifest.rows("train")
    names = manifest.column("sha256")[rows]
    targets = read_targets(manifest.labels()[rows], names, manifest.column("source")[rows], TrainingSettings())
    return Batches(shards, shards.find(names), targets, batch=batch, seed=3, epoch=lambda: epoch, part=part)


def _images(batches: Batches) -> list[bytes]:
    return [image.numpy().tobytes() for pixels, _, _ in batches for image in pixels]


def test_a_pass_holds_every_image_once(dataset: Dataset) -> None:
    """No image is dropped or repeated, also where the batch does not divide their number."""
    manifest, shards = dataset
    expected = sorted(image.tobytes() for image in shards.take(shards.find(manifest.column("sha256")[:96])))
    for batch in (16, 95, 1000):
        batches = _batches(dataset, batch=batch)
        assert sorted(_images(batches)) == expected
        sizes = [len(pixels) for pixels, _, _ in batches]
        assert len(sizes) == len(batches)
        assert max(sizes) <= batch
        assert max(sizes) - min(sizes) <= 1


def test_targets_stay_with_their_image(dataset: Dataset) -> None:
    """Shuffling moves image, target and weight together: a bright cell is always labelled present."""
    for pixels, targets, _ in _batches(dataset):
        cells = pixels[:, 0].float().view(-1, 4, 8, 4, 8).mean(dim=(2, 4)).view(-1, 16)[:, :14]
        drawn = targets[:, [4, 13]] == 1.0  # lesion and devices have no child that could set them
        torch.testing.assert_close(drawn, cells[:, [4, 13]] > 135)


def test_the_order_depends_on_the_epoch_alone(dataset: Dataset) -> None:
    """The same epoch gives the same order again; the next one another."""
    assert _images(_batches(dataset, epoch=1)) == _images(_batches(dataset, epoch=1))
    assert _images(_batches(dataset, epoch=1)) != _images(_batches(dataset, epoch=2))


def test_processes_share_a_pass(dataset: Dataset) -> None:
    """Two processes together hold every image once, in as many steps each."""
    halves = [_batches(dataset, batch=10, part=(rank, 2)) for rank in (0, 1)]
    assert len(halves[0]) == len(halves[1]) == len(list(halves[0])) == len(list(halves[1]))
    assert sorted(_images(halves[0]) + _images(halves[1])) == sorted(_images(_batches(dataset)))


def test_scaling_maps_bytes_to_the_unit_interval() -> None:
    """Black is 0, white is 1, and 51 is a fifth."""
    pixels = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    torch.testing.assert_close(as_images(pixels), torch.tensor([[[[0.0, 0.2, 1.0]]]]))


def test_gathering_is_no_bottleneck(dataset: Dataset) -> None:
    """A batch is gathered whole: well over 1,000 images a second, even here on a busy machine."""
    manifest, shards = dataset
    rows = np.resize(shards.find(manifest.column("sha256")), 4096)
    empty = np.zeros((len(rows), 14), np.float32)
    batches = Batches(shards, rows, Targets(empty, empty, empty), batch=256, seed=0, epoch=lambda: 0)
    started = time.perf_counter()
    images = sum(len(as_images(pixels)) for pixels, _, _ in batches)
    assert images / (time.perf_counter() - started) > 1000
