"""PNG and JPEG to grey levels, by Pillow.

Policy: 8-bit grey is taken as it is. RGB whose channels agree is grey and is converted; an alpha channel that is opaque
everywhere is dropped. 16-bit grey is scaled linearly between two extreme percentiles, since its window is unknown and
preprocessing stretches by percentiles anyway. Colour, transparency, CMYK and anything animated are refused: what they
mean in a radiograph is a guess.
"""

import struct
import zlib
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageChops, ImageOps

from chexpert.imaging.headers import Format, read_header
from chexpert.imaging.image import Image, UnreadableImage, check_size, to_grey_levels

__all__ = ["COLOUR_SHARE", "COLOUR_TOLERANCE", "DEEP_PERCENTILES", "decode_raster"]

COLOUR_TOLERANCE: Final = 16
"""Grey levels by which the channels of one grey pixel may differ: JPEG's chroma rounding reaches about 6."""
COLOUR_SHARE: Final = 0.01
"""Share of pixels that may differ by more: a burnt-in coloured mark, not a coloured picture."""
DEEP_PERCENTILES: Final = (0.05, 99.95)
"""Percentiles of a 16-bit image that become black and white: a few dead pixels must not set the scale."""

_DEEP: Final = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_FAULTS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    Warning,
    struct.error,
    zlib.error,
    Pillow.DecompressionBombError,
)
"""What Pillow raises for broken files."""


def decode_raster(data: bytes, form: Format, *, target: int | None) -> Image:
    """Decode a PNG or JPEG.

    Args:
        data: the whole file.
        form: PNG or JPEG.
        target: a JPEG may be decoded at 1/2, 1/4 or 1/8 as long as its longer side keeps this many pixels.

    Raises:
        UnreadableImage: with the reason.
    """
    header = read_header(data, form)
    check_size(header.width, header.height)
    try:
        with Pillow.open(BytesIO(data), formats=(form.value,)) as opened:
            if target is not None and form is Format.JPEG:
                scale = target / max(opened.size)
                opened.draft(opened.mode, tuple(max(1, round(side * scale)) for side in opened.size))  # type: ignore[arg-type] # a pair
            opened.load()
            upright = ImageOps.exif_transpose(opened) if "exif" in opened.info else opened
            swapped = upright.width > upright.height and header.width < header.height
            pixels = _grey(upright)
    except _FAULTS as error:
        reason = f"{form} of {len(data)} bytes: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        raise UnreadableImage(reason=reason) from error
    width, height = (header.height, header.width) if swapped else (header.width, header.height)
    return Image(pixels, width, height)


def _grey(image: Pillow.Image) -> NDArray[np.uint8]:
    if image.mode == "P":
        image = image.convert("RGBA")
    if image.mode in _DEEP:
        values = np.asarray(image).astype(np.float32)
        low, high = np.percentile(values, DEEP_PERCENTILES)
        return to_grey_levels(values, float(low), float(high))
    if image.mode in {"LA", "RGBA"}:
        lowest = image.getchannel("A").getextrema()[0]
        if lowest != 255:  # noqa: PLR2004 - opaque
            raise UnreadableImage(reason=f"{image.mode} with transparent pixels (alpha down to {lowest})")
        image = image.convert(image.mode[:-1])
    if image.mode == "RGB":
        return np.asarray(_if_grey(image))
    if image.mode == "1":
        image = image.convert("L")
    if image.mode != "L":
        raise UnreadableImage(reason=f"pixels of mode {image.mode}: grey is expected")
    return np.asarray(image)


def _if_grey(image: Pillow.Image) -> Pillow.Image:
    red, green, blue = image.split()
    differences = ImageChops.lighter(ImageChops.difference(red, green), ImageChops.difference(green, blue))
    coloured = sum(differences.histogram()[COLOUR_TOLERANCE + 1 :])
    share = coloured / (image.width * image.height)
    if share > COLOUR_SHARE:
        raise UnreadableImage(
            reason=f"colour: the channels of {share:.0%} of the pixels differ; a grey image is expected"
        )
    return green
