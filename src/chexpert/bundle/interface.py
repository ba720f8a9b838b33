"""What every graph takes and answers, by whatever runtime."""

from collections.abc import Mapping
from typing import Final

from chexpert.bundle.errors import BrokenBundle
from chexpert.domain.observations import OBSERVATIONS

__all__ = ["INPUT", "OUTPUT", "require_interface"]

INPUT: Final = "pixels"
"""Name of the graph's input: uint8 (n, 1, size, size)."""
OUTPUT: Final = "scores"
"""Name of the graph's output: float32 (n, 14)."""


def require_interface(found: Mapping[str, tuple[str, list[int]]], size: int, where: str) -> None:
    """BrokenBundle unless inputs and outputs have these names, types, and shapes behind the batch."""
    expected = {INPUT: ("uint8", [1, size, size]), OUTPUT: ("float32", [len(OBSERVATIONS)])}
    if found != expected:
        raise BrokenBundle(where, f"model.onnx has {dict(found)}, expected {expected}")
