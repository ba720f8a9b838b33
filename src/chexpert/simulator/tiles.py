"""Tiles: images that cost nothing to draw, for tests of everything that does not look at them."""

from dataclasses import dataclass

import numpy as np

from chexpert.domain.labels import Label
from chexpert.simulator.devices import encode
from chexpert.simulator.samples import NO_TRUTH, Sample

__all__ = ["TileSource"]

TILES = 4
TILE_PX = 16


@dataclass(frozen=True, slots=True)
class TileSource:
    """64 x 64 images of random grey tiles, each of a patient of its own."""

    truth: tuple[Label, ...] = NO_TRUTH
    """Of every image."""
    broken: frozenset[int] = frozenset()
    """Numbers whose bytes are no image."""

    def sample(self, number: int) -> Sample:
        """Tiles of that number."""
        grey = np.random.default_rng(number).integers(0, 256, (TILES, TILES), dtype=np.uint8)
        pixels = grey.repeat(TILE_PX, axis=0).repeat(TILE_PX, axis=1)
        data = b"not an image" if number in self.broken else encode(pixels)
        return Sample(f"tiles-{number}.png", data, self.truth, source="tiles", patient=f"tiles-{number}")
