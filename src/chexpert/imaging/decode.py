"""Encoded bytes of any format the house reads, to one grey image."""

from chexpert.imaging.dicom import decode_dicom
from chexpert.imaging.headers import Format, sniff
from chexpert.imaging.image import Image, UnreadableImage
from chexpert.imaging.raster import decode_raster

__all__ = ["Image", "UnreadableImage", "decode"]


def decode(data: bytes, *, target: int | None = None) -> Image:
    """Decode a PNG, JPEG or DICOM file.

    Args:
        data: the whole file.
        target: longer side in pixels that is enough for the caller: a JPEG then decodes at 1/2, 1/4 or 1/8 of its size
            (DCT-scaled), never below it. Use the same target wherever results must agree.

    Returns:
        8-bit grey pixels, with the width and height of the original.

    Raises:
        UnreadableImage: with the reason in one line; nothing else, whatever the bytes are.
    """
    form = sniff(data)
    if form is Format.DICOM:
        return decode_dicom(data)
    return decode_raster(data, form, target=target)
