"""A trained network's folder: `weights.safetensors` and `network.json`; never pickle."""

import json
from dataclasses import asdict, replace
from typing import Any, Final

import safetensors.torch
from fsspec.core import url_to_fs
from safetensors import SafetensorError
from torch import nn

from chexpert.domain.digests import of_bytes
from chexpert.networks.build import Network
from chexpert.networks.errors import BrokenModel, MismatchedWeights
from chexpert.networks.settings import NetworkSettings

__all__ = ["NETWORK", "WEIGHTS", "encode", "load", "save"]

NETWORK: Final = "network.json"
WEIGHTS: Final = "weights.safetensors"


def encode(module: nn.Module, settings: NetworkSettings) -> tuple[dict[str, bytes], str]:
    """Both files by name, and the model's digest: sha256 of network.json, which holds that of the weights.

    The file that training started from is left out of the settings: its place says nothing on another machine.
    """
    weights = safetensors.torch.save({key: value.contiguous() for key, value in module.state_dict().items()})
    facts = {"settings": asdict(replace(settings, weights="")), "weights_sha256": of_bytes(weights)}
    network = (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode()
    return {WEIGHTS: weights, NETWORK: network}, of_bytes(network)


def save(module: nn.Module, settings: NetworkSettings, folder_uri: str) -> str:
    """Write both files into `folder_uri` and return the model's digest."""
    files, digest = encode(module, settings)
    filesystem, folder = url_to_fs(folder_uri)
    filesystem.makedirs(folder, exist_ok=True)
    for name, data in files.items():  # network.json last: without it there is no model
        filesystem.pipe_file(f"{folder}/{name}", data)
    return digest


def load(folder_uri: str) -> Network:
    """A saved network in eval mode; its `settings` come with it.

    Raises:
        BrokenModel: A file is missing, altered or not understood.
        MismatchedWeights: Weights and settings belong to different networks.
    """
    filesystem, folder = url_to_fs(folder_uri)
    try:
        network, weights = (filesystem.cat_file(f"{folder}/{name}") for name in (NETWORK, WEIGHTS))
    except FileNotFoundError as error:
        raise BrokenModel(folder_uri, f"{error.args[-1]} is not there") from error
    settings, expected = _facts(network, folder_uri)
    if (found := of_bytes(weights)) != expected:
        raise BrokenModel(folder_uri, f"{WEIGHTS} has sha256 {found}, {NETWORK} says {expected}")
    try:
        state = safetensors.torch.load(weights)
    except SafetensorError as error:
        raise BrokenModel(folder_uri, f"{WEIGHTS} is no safetensors file ({error})") from error
    module = Network(settings)
    own = module.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    misshaped = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    if missing or unexpected or misshaped:
        raise MismatchedWeights(
            folder_uri,
            settings.name,
            missing=missing,
            unexpected=unexpected,
            misshaped=misshaped,
        )
    module.load_state_dict(state)
    return module.eval()


def _facts(network: bytes, folder_uri: str) -> tuple[NetworkSettings, str]:
    try:
        facts: dict[str, Any] = json.loads(network)
        return NetworkSettings(**facts["settings"]), str(facts["weights_sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenModel(folder_uri, f"{NETWORK} is not understood ({error})") from error
