"""The canvas: anatomical coordinates of every pixel, strokes, and smooth fields.

Anatomical coordinates: x from -1 (image left, the patient's right) to 1, y from -1 (top) to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["Field", "Grid", "Stroke", "bump", "step"]

Field = NDArray[np.floating[Any]]
"""Values, one for each pixel; in helpers also one for each of a few points."""

_OVERSAMPLING: Final = 2
"""Strokes are drawn this much larger, then averaged: half-pixel lines stay visible."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A polyline; `strength` is its grey level in [0, 1], later ones cover earlier ones."""

    points: NDArray[np.float64]
    """(k, 2) anatomical x, y."""
    width: float
    """In anatomical units; at least half a pixel is drawn."""
    strength: float
    closed: bool = False
    """Whether the outline is filled; then the width does not count."""


class Grid:
    """n x n pixels over anatomy in some pose."""

    def __init__(
        self, n: int, *, rotation: float = 0.0, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        """Set up.

        Args:
            n: pixels of a side.
            rotation: of the patient on the film, in radians.
            scale: above 1 the patient appears larger.
            shift: of the patient, in units of half the film.
        """
        self.n = n
        self._turn = scale * np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
        self._shift = np.array(shift)
        line = ((np.arange(n, dtype=np.float32) + 0.5) / n * 2 - 1).astype(np.float32)
        film_x, film_y = np.meshgrid(line - np.float32(shift[0]), line - np.float32(shift[1]))
        back = np.linalg.inv(self._turn).astype(np.float32)
        self.x: Field = back[0, 0] * film_x + back[0, 1] * film_y
        self.y: Field = back[1, 0] * film_x + back[1, 1] * film_y

    def draw(self, strokes: Sequence[Stroke]) -> Field:
        """All strokes on black, in [0, 1]."""
        side = self.n * _OVERSAMPLING
        layer = Image.new("L", (side, side))
        pen = ImageDraw.Draw(layer)
        half = side / 2
        for stroke in strokes:
            film = (stroke.points @ self._turn.T + self._shift + 1.0) * half
            points = film.ravel().tolist()
            level = round(255 * min(1.0, max(0.0, stroke.strength)))
            if stroke.closed:
                pen.polygon(points, fill=level)
            else:
                pen.line(points, fill=level, width=max(1, round(stroke.width * half)))
        return np.asarray(layer.reduce(_OVERSAMPLING), np.float32) / np.float32(255)

    def smooth_noise(self, rng: np.random.Generator, cells: int) -> Field:
        """Random field of about unit variance that changes over 1/cells of the film."""
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        return np.asarray(Image.fromarray(coarse).resize((self.n, self.n), Image.Resampling.BICUBIC))


def step(field: Field, soft: float) -> Field:
    """0 where the field is well below 0, 1 well above, smooth over about `soft`."""
    ramp = np.clip(field * np.float32(0.5 / soft) + np.float32(0.5), 0, 1)
    smooth: Field = ramp * ramp * (3 - 2 * ramp)
    return smooth


def bump(squared_distance: Field) -> Field:
    """1 at distance 0, falling smoothly to 0 at 1: a Gaussian with an end."""
    inside = np.clip(1 - squared_distance, 0, 1)
    smooth: Field = inside * inside
    return smooth
