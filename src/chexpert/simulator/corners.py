"""Corner cases of the domain: images a server must answer although no model likes them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from chexpert.simulator.devices import encode

__all__ = ["CORNERS", "corner"]

Pixels = NDArray[np.uint8]


def corner(kind: str, pixels: Pixels, rng: np.random.Generator) -> bytes:
    """PNG bytes of the corner case called `kind` (a key of CORNERS), made from an ordinary (H, W) image."""
    return encode(CORNERS[kind](pixels, rng))


def _very_bright(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    return np.clip(pixels.astype(np.int32) + 180, 0, 255).astype(np.uint8)


def _very_dark(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    return (pixels // 16).astype(np.uint8)


def _blank(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return np.full_like(pixels, int(rng.integers(0, 256)))


def _tiny(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape
    return np.ascontiguousarray(pixels[:: max(1, height // 8), :: max(1, width // 8)])


def _huge(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    factor = max(1, 2500 // max(pixels.shape))
    return np.kron(pixels, np.ones((factor, factor), dtype=np.uint8))


def _odd_aspect(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    rows = max(1, pixels.shape[0] // 8)
    middle = pixels.shape[0] // 2
    return np.ascontiguousarray(pixels[middle - rows // 2 : middle - rows // 2 + rows])


def _sideways(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    return np.ascontiguousarray(np.rot90(pixels))


def _inverted(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    return (255 - pixels).astype(np.uint8)


CORNERS: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = MappingProxyType(
    {
        "very-bright": _very_bright,
        "very-dark": _very_dark,
        "blank": _blank,
        "tiny": _tiny,
        "huge": _huge,
        "odd-aspect": _odd_aspect,
        "sideways": _sideways,
        "inverted": _inverted,
    },
)
"""About 8 px and 2,500 px for tiny and huge; an eighth of the height for the odd aspect."""
