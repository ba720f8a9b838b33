"""A network: a backbone behind one fixed normalisation."""

from typing import Final

import torch
from torch import Tensor, nn

from chexpert.networks.backbones import backbone
from chexpert.networks.pretrained import load_pretrained
from chexpert.networks.settings import NetworkSettings

__all__ = ["Network", "as_images", "build"]

# Mean and spread of a percentile-stretched chest image; inside the network, so that no caller can forget it.
_MEAN: Final = 0.5
_STD: Final = 0.25


class Network(nn.Module):
    """Images (n, 1, H, W), float in [0, 1], to logits (n, 14)."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = backbone(settings)

    def forward(self, images: Tensor) -> Tensor:
        """Logits in the order of OBSERVATIONS."""
        logits: Tensor = self.backbone((images - _MEAN) / _STD)
        return logits


def as_images(pixels: Tensor) -> Tensor:
    """Stored uint8 pixels (n, 1, H, W) as float in [0, 1]: the one scaling of training, prediction and export."""
    return pixels.to(torch.float32) * (1.0 / 255.0)


def build(settings: NetworkSettings) -> Network:
    """A network with the weights of `settings.weights`, or random ones from torch's current generator.

    Raises:
        UnknownNetwork: No network has this name.
        UnusableSize: The image does not divide into its patches.
        UnreadableWeights: The weight file holds something else than named tensors.
        MismatchedWeights: The weight file is another network's.
        FileNotFoundError: There is no such weight file.
    """
    network = Network(settings)
    if settings.weights:
        load_pretrained(network.backbone, settings.weights, settings.name)
    return network
