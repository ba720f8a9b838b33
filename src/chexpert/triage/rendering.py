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
    # Level 1: level 6 took 0.55 s instead of 0.12 s on a 2,500 px radiograph, and saved 17 % of its bytes.
    Pillow.fromarray(decode(data).pixels).save(sink, "PNG", compress_level=1)
    return sink.getvalue()
