"""Which network, at which size, from which weights."""

from dataclasses import dataclass

__all__ = ["NetworkSettings"]


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """All that shapes a network before training."""

    name: str = "small-cnn"
    """One of small-cnn, small-vit (under a million parameters, for CPUs), densenet121, vit-s16."""
    image_size: int = 64
    """Side of the square image in pixels; a multiple of 16 for small-vit and vit-s16."""
    weights: str = ""
    """Local file to start from: safetensors, or a state dict of plain tensors; empty: random weights."""
    dropout: float = 0.0
    """Share of features dropped before the last layer; 0 switches it off."""
    drop_path: float = 0.0
    """Share of residual branches skipped in training; 0 switches it off. densenet121 has no such branches."""
