"""A stored image as PNG, which every browser shows the same."""

from io import BytesIO

from PIL import Image as Pillow

from chexpert.imaging.decode import decode

__all__ = ["to_png"]


def to_png(data: bytes) -> bytes:
    """PNG of the decoded pixels, 8-bit grey, in the size of the original.

    Raises:
        UnreadableImage: the bytes are no image; intake refuses such, so the object was changed.
    """
    sink = BytesIO()
    # Level 1: level 6 took four times as long on a 2,500 px radiograph and saved 4 %.
    Pillow.fromarray(decode(data).pixels).save(sink, "PNG", compress_level=1)
    return sink.getvalue()
