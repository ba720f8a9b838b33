"""Letters burnt into the film, as strokes: no font needed, and they scale."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from chexpert.data.drawing.grid import Stroke

__all__ = ["write"]

_GLYPHS: Final[Mapping[str, tuple[tuple[tuple[float, float], ...], ...]]] = {
    "A": (((0, 1), (0.5, 0), (1, 1)), ((0.25, 0.6), (0.75, 0.6))),
    "B": (((0, 1), (0, 0), (0.8, 0.1), (0.8, 0.4), (0, 0.5), (1, 0.6), (1, 0.9), (0, 1)),),
    "E": (((1, 0), (0, 0), (0, 1), (1, 1)), ((0, 0.5), (0.8, 0.5))),
    "L": (((0, 0), (0, 1), (1, 1)),),
    "O": (((0.2, 0), (0.8, 0), (1, 0.3), (1, 0.7), (0.8, 1), (0.2, 1), (0, 0.7), (0, 0.3), (0.2, 0)),),
    "P": (((0, 1), (0, 0), (1, 0.1), (1, 0.4), (0, 0.5)),),
    "R": (((0, 1), (0, 0), (1, 0.1), (1, 0.4), (0, 0.5), (1, 1)),),
    "T": (((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),
}
"""Strokes in a unit box, y downwards."""


def write(text: str, x: float, y: float, height: float) -> list[Stroke]:
    """Strokes of a text whose first letter has its upper left corner at x, y."""
    width = 0.65 * height
    origins = ((x + index * 1.35 * width, letter) for index, letter in enumerate(text))
    return [
        Stroke(np.array(line) * (width, height) + (left, y), 0.14 * height, 1.0)
        for left, letter in origins
        for line in _GLYPHS[letter]
    ]
