"""The decoded image, the limits it must keep, and the error of bytes that are none."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chexpert.domain.errors import InputError
from chexpert.domain.studies import View

__all__ = ["MAX_PIXELS", "MIN_SIDE", "Image", "UnreadableImage", "check_size", "to_grey_levels"]

MAX_PIXELS: Final = 64_000_000
"""Largest width times height that is decoded. Radiographs have at most 20 million; Pillow's own alarm is at 89."""

MIN_SIDE: Final = 8
"""Shortest side in pixels that is still an image."""


class UnreadableImage(InputError):
    """Bytes that the house does not read as a radiograph. `reason` is one line."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"image cannot be read: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Image:
    """One grey image."""

    pixels: NDArray[np.uint8]
    """(H, W), 0 black to 255 white; may be smaller than the original where `decode` was given a target."""
    width: int
    """Pixels of the original."""
    height: int
    view: View = View.UNKNOWN
    """What the file itself says; only DICOM says anything."""


def check_size(width: int, height: int) -> None:
    """Raise UnreadableImage for sizes that are no radiograph or would fill the memory, before anything is decoded."""
    if min(width, height) < MIN_SIDE:
        raise UnreadableImage(reason=f"{width}x{height} px: the shorter side must have {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise UnreadableImage(reason=f"header says {width}x{height} px, more than {MAX_PIXELS:,} in all")


def to_grey_levels(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Map low..high linearly to 0..255 and clip; a range without extent gives black."""
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    scaled = np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0)
    levels: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    return levels
