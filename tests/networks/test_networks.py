"""Each named network can be built, trained by a step, saved and loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from chexpert.networks.backbones import BACKBONES
from chexpert.networks.build import build
from chexpert.networks.errors import BrokenModel, MismatchedWeights, UnknownNetwork, UnusableSize
from chexpert.networks.settings import NetworkSettings
from chexpert.networks.store import NETWORK, WEIGHTS, load, save
from chexpert.training.module import masked_loss

SMALL = ("small-cnn", "small-vit")


@pytest.fixture
def images() -> Tensor:
    return torch.rand((4, 1, 64, 64), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BACKBONES)
def test_one_step_lowers_the_loss(name: str, images: Tensor) -> None:
    """Every network answers (n, 14) logits, gets a gradient in every weight, and a step against it helps."""
    torch.manual_seed(0)
    network = build(NetworkSettings(name)).train()
    targets, weights = (torch.rand((4, 14)) < 0.5).float(), torch.ones((4, 14))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    logits = network(images)
    assert logits.shape == (4, 14)
    before = masked_loss(logits, targets, weights)
    before.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    optimizer.step()
    assert masked_loss(network(images), targets, weights) < before


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_are_small(name: str) -> None:
    """Both small networks stay under a million parameters."""
    assert sum(parameter.numel() for parameter in build(NetworkSettings(name)).parameters()) < 1_000_000


def test_unknown_names_are_refused() -> None:
    """An unknown name is refused with the names there are."""
    with pytest.raises(UnknownNetwork, match="densenet121"):
        build(NetworkSettings("resnet50"))


@pytest.mark.parametrize(("name", "size"), [("small-vit", 72), ("vit-s16", 100), ("small-cnn", 0)])
def test_sizes_that_do_not_divide_are_refused(name: str, size: int) -> None:
    """An image size that leaves a partial patch is refused by name and number."""
    with pytest.raises(UnusableSize, match=str(size)):
        build(NetworkSettings(name, size))


@pytest.mark.parametrize("name", SMALL)
def test_a_saved_network_answers_the_same(name: str, images: Tensor, tmp_path: Path) -> None:
    """Loading gives the same logits to the bit, the settings without the local weight file, and eval mode."""
    settings = NetworkSettings(name, dropout=0.3)
    network = build(settings).eval()
    digest = save(network, replace(settings, weights="elsewhere.pt"), str(tmp_path))
    loaded = load(str(tmp_path))
    assert loaded.settings == settings
    assert not loaded.training
    assert torch.equal(loaded(images), network(images))
    assert save(loaded, loaded.settings, str(tmp_path / "again")) == digest
    assert {file.name for file in (tmp_path / "again").iterdir()} == {NETWORK, WEIGHTS}


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_a_spoiled_folder_is_refused(tmp_path: Path) -> None:
    """Altered weights, a cut network.json and a missing file are each refused by name."""
    folder = tmp_path / "model"
    save(build(NetworkSettings()), NetworkSettings(), str(folder))
    _flip(folder / WEIGHTS)
    with pytest.raises(BrokenModel, match=WEIGHTS):
        load(str(folder))
    (folder / NETWORK).write_text("{}")
    with pytest.raises(BrokenModel, match="not understood"):
        load(str(folder))
    (folder / NETWORK).unlink()
    with pytest.raises(BrokenModel, match="not there"):
        load(str(folder))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """Settings and weights that do not belong together are refused when loading, with the keys."""
    save(build(NetworkSettings("small-vit")), NetworkSettings("small-cnn"), str(tmp_path))
    with pytest.raises(MismatchedWeights, match=r"missing: backbone\.bn1"):
        load(str(tmp_path))
