"""Starting from local weight files: ours, and timm's for colour photographs; nothing is downloaded."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from chexpert.networks.build import build
from chexpert.networks.errors import MismatchedWeights, UnreadableWeights
from chexpert.networks.settings import NetworkSettings

COLOUR = {"densenet121": "densenet121", "vit-s16": "vit_small_patch16_224"}


@pytest.mark.parametrize("name", COLOUR)
def test_colour_weights_are_adapted(name: str, tmp_path: Path) -> None:
    """A 1000-class network for colour images at another size: the body is taken, the first layer summed over colours.

    Position embeddings are resampled, and the head keeps its own random weights.
    """
    sized = {"img_size": 96} if name == "vit-s16" else {}
    foreign = timm.create_model(COLOUR[name], pretrained=False, **sized).state_dict()
    file = tmp_path / "colour.safetensors"
    save_file(foreign, file)
    own = build(NetworkSettings(name, 64, weights=str(file))).backbone.state_dict()
    first = next(key for key, value in foreign.items() if value.ndim == 4)
    torch.testing.assert_close(own[first], foreign[first].sum(dim=1, keepdim=True))
    shared = [key for key in own if own[key].shape == foreign[key].shape]
    assert len(shared) > 0.95 * len(own)
    assert all(torch.equal(own[key], foreign[key]) for key in shared)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_own_weights_are_taken_whole(suffix: str, prefix: str, tmp_path: Path) -> None:
    """A file of the same network, with or without our prefix, sets every weight, the head too."""
    settings = NetworkSettings("small-cnn")
    state = {f"{prefix}{key}": value for key, value in build(settings).backbone.state_dict().items()}
    file = tmp_path / f"own{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": state}, file)
    else:
        save_file(state, file)
    started = build(NetworkSettings("small-cnn", weights=str(file))).backbone.state_dict()
    assert all(torch.equal(value, state[f"{prefix}{key}"]) for key, value in started.items())


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """Missing and unexpected keys are counted and the first of them named."""
    file = tmp_path / "vit.safetensors"
    save_file(build(NetworkSettings("small-vit")).backbone.state_dict(), file)
    with pytest.raises(MismatchedWeights) as refusal:
        build(NetworkSettings("small-cnn", weights=str(file)))
    assert "conv1.0.weight" in refusal.value.missing
    assert "blocks.0.attn.qkv.weight" in refusal.value.unexpected
    assert f"{len(refusal.value.missing)} missing" in str(refusal.value)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    """The same keys with another shape are named with both shapes."""
    state = build(NetworkSettings("small-cnn")).backbone.state_dict()
    state["bn1.weight"] = torch.ones(99)
    file = tmp_path / "wide.safetensors"
    save_file(state, file)
    with pytest.raises(MismatchedWeights, match=r"of another shape: bn1\.weight \(99,\) for"):
        build(NetworkSettings("small-cnn", weights=str(file)))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    """A state dict is read as plain tensors only: whatever else a file holds is not executed."""
    file = tmp_path / "evil.pt"
    torch.save({"state_dict": {"x": Path("anything")}}, file)
    with pytest.raises(UnreadableWeights, match="plain tensors"):
        build(NetworkSettings("small-cnn", weights=str(file)))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """A weight file that is not there is refused by its path; nothing is fetched in its place."""
    with pytest.raises(FileNotFoundError, match="absent"):
        build(NetworkSettings("small-cnn", weights=str(tmp_path / "absent.safetensors")))
