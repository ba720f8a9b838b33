"""Start from a local weight file: our own, or timm's of the same architecture."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv
from torch import Tensor, nn

from chexpert.networks.errors import MismatchedWeights, UnreadableWeights

__all__ = ["load_pretrained"]

_PREFIX: Final = "backbone."
_CONVOLUTION_DIMS: Final = 4


def load_pretrained(backbone: nn.Module, file: str, network: str) -> None:
    """Copy weights from `file` into `backbone`.

    What pretraining on colour photographs leaves behind is adapted, as timm does: a first convolution of three channels
    is summed to one, position embeddings are resampled, and a head of other classes is left as it was.

    Args:
        backbone: Changed in place.
        file: Safetensors by its suffix, else a state dict that torch reads with weights_only.
        network: What errors call the backbone.

    Raises:
        UnreadableWeights: The file holds something else than named tensors.
        MismatchedWeights: Listing keys that are missing, unexpected or of another shape.
    """
    own = backbone.state_dict()
    given = {key.removeprefix(_PREFIX): value for key, value in _read(file).items()}
    head = _head(backbone)
    adapted = {
        key: _adapt(key, value, own[key], backbone) if key in own else value
        for key, value in given.items()
        if not (key.startswith(f"{head}.") and key in own and value.shape != own[key].shape)
    }
    missing = [key for key in own if key not in adapted and not key.startswith(f"{head}.")]
    unexpected = [key for key in adapted if key not in own]
    misshaped = [
        f"{key} {tuple(adapted[key].shape)} for {tuple(value.shape)}"
        for key, value in own.items()
        if key in adapted and adapted[key].shape != value.shape
    ]
    if missing or unexpected or misshaped:
        raise MismatchedWeights(file, network, missing=missing, unexpected=unexpected, misshaped=misshaped)
    backbone.load_state_dict({**own, **adapted})


def _read(file: str) -> dict[str, Tensor]:
    try:
        if Path(file).suffix == ".safetensors":
            return load_file(file)
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise UnreadableWeights(file, str(error).partition("\n")[0]) from error
    state: Any = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UnreadableWeights(file, f"it holds a {type(state).__name__}")
    return state


def _head(backbone: nn.Module) -> str:
    name: Any = getattr(backbone, "default_cfg", {}).get("classifier", "")
    return str(name) or next(n for n in ("fc", "head", "classifier") if hasattr(backbone, n))


def _adapt(key: str, value: Tensor, own: Tensor, backbone: nn.Module) -> Tensor:
    if key == "pos_embed" and value.shape != own.shape:
        prefix: Any = getattr(backbone, "num_prefix_tokens", 0)
        grid: Any = backbone.patch_embed.grid_size  # type: ignore[union-attr]
        resampled: Tensor = resample_abs_pos_embed(value, list(grid), num_prefix_tokens=int(prefix))
        return resampled
    if value.ndim == own.ndim == _CONVOLUTION_DIMS and value.shape[1] == 3 and own.shape[1] == 1:  # noqa: PLR2004 -- RGB
        summed: Tensor = adapt_input_conv(1, value)
        return summed
    return value
