"""The one preprocessing: percentile stretch, resize that keeps the aspect, padding with the mean.

Training, export tests and serving call this function; the digest of its settings travels with every model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from chexpert.domain.digests import of_value
from chexpert.domain.errors import InputError
from chexpert.imaging.image import Image

__all__ = ["ALGORITHM", "InvalidPreprocessSpec", "PreprocessSpec", "preprocess"]

ALGORITHM: Final = "stretch-area-pad-2"
"""Enters the digest; a change of what `preprocess` computes needs a new name."""

MAX_SIZE: Final = 1024


class InvalidPreprocessSpec(InputError):
    """Settings that no image can be preprocessed with. `reason` is one line."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"preprocessing cannot be set up: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """Settings of `preprocess`."""

    size: int = 64
    """Side of the square result, in pixels."""
    low: float = 0.5
    """Percentile of grey levels that becomes black; 0 switches the stretch off at this end but for the extremes."""
    high: float = 99.5
    """Percentile that becomes white."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_SIZE:
            raise InvalidPreprocessSpec(reason=f"size {self.size} is not within 1..{MAX_SIZE} pixels")
        if not 0.0 <= self.low < self.high <= 100.0:  # noqa: PLR2004 - percent
            raise InvalidPreprocessSpec(reason=f"percentiles {self.low}..{self.high} are not an interval of 0..100")

    @property
    def digest(self) -> str:
        """Digest of the settings and of the algorithm's name."""
        return of_value({"algorithm": ALGORITHM, **self.to_dict()})

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; unknown keys are refused."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InvalidPreprocessSpec(
                reason=f"unknown settings {', '.join(unknown)}: known are {', '.join(sorted(known))}"
            )
        return cls(size=int(values["size"]), low=float(values["low"]), high=float(values["high"]))


def preprocess(image: Image, spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Preprocess one image.

    Returns:
        (size, size) uint8. The longer side fills it; the rest is padded evenly with the mean grey level.
    """
    picture = Pillow.fromarray(image.pixels)
    # The aspect is the original's: DCT scaling rounds each side up on its own.
    scale = spec.size / max(image.width, image.height)
    width, height = (max(1, round(side * scale)) for side in (image.width, image.height))
    # Averaging areas costs half of the bilinear filter (0.4 instead of 0.9 ms at 625x512) and aliases no more; where an
    # image must grow it would only repeat pixels. Percentiles come after: fewer pixels, and less noise in the extremes.
    grows = max(width / picture.width, height / picture.height) > 1.0
    kernel = Pillow.Resampling.BILINEAR if grows else Pillow.Resampling.BOX
    resized = picture.resize((width, height), kernel)
    small = resized.point(_table(*_percentiles(resized.histogram(), spec)))
    stretched = np.asarray(small)
    result = np.full((spec.size, spec.size), round(float(stretched.mean())), np.uint8)
    top, left = (spec.size - height) // 2, (spec.size - width) // 2
    result[top : top + height, left : left + width] = stretched
    return result


def _percentiles(histogram: list[int], spec: PreprocessSpec) -> tuple[int, int]:
    below = np.cumsum(histogram)
    low, high = np.searchsorted(below, np.array([spec.low, spec.high]) / 100.0 * below[-1], side="left")
    return int(low), int(high)


def _table(low: int, high: int) -> list[int]:
    """Grey level to grey level; an image of one level keeps it."""
    if high <= low:
        return list(range(256))
    levels = (np.arange(256, dtype=np.float64) - low) * (255.0 / (high - low))
    table: list[int] = np.rint(np.clip(levels, 0.0, 255.0)).astype(int).tolist()
    return table
