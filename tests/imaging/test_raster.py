import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from chexpert.imaging.decode import UnreadableImage, decode


def encode(picture: Pillow.Image, form: str = "PNG", **options: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def header_only_png(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_grey_png_is_taken_as_it_is(png: bytes, grey: NDArray[np.uint8]) -> None:
    """8-bit grey passes unchanged, with its size."""
    image = decode(png)
    np.testing.assert_array_equal(image.pixels, grey)
    assert (image.width, image.height) == (120, 96)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_in_other_clothes_is_the_same_image(grey: NDArray[np.uint8], mode: str) -> None:
    """Equal channels and an opaque alpha add nothing."""
    data = encode(Pillow.fromarray(grey).convert(mode))
    np.testing.assert_array_equal(decode(data).pixels, grey)


def test_grey_jpeg_stored_as_colour_is_grey(grey: NDArray[np.uint8]) -> None:
    """Rounding in JPEG's chroma does not make a radiograph colourful."""
    image = decode(encode(Pillow.fromarray(grey).convert("RGB"), "JPEG", quality=90))
    assert np.abs(image.pixels.astype(int) - grey).max() < 12


def test_colour_is_refused(grey: NDArray[np.uint8]) -> None:
    """A coloured picture is no radiograph, and says how much of it is coloured."""
    colour = np.dstack([grey, 255 - grey, grey])
    with pytest.raises(UnreadableImage, match=r"colour: the channels of \d+% of the pixels differ"):
        decode(encode(Pillow.fromarray(colour)))


def test_transparency_is_refused(grey: NDArray[np.uint8]) -> None:
    """What shines through a transparent pixel is unknown."""
    picture = Pillow.fromarray(grey).convert("RGBA")
    picture.putalpha(128)
    with pytest.raises(UnreadableImage, match=r"RGBA with transparent pixels \(alpha down to 128\)"):
        decode(encode(picture))


def test_sixteen_bits_keep_their_order(grey: NDArray[np.uint8]) -> None:
    """12 bits in a 16-bit PNG use the whole range, in the same order; one dead pixel does not set the scale."""
    deep = (grey.astype(np.uint16) * 16).copy()
    deep[0, 0] = 65535
    pixels = decode(encode(Pillow.fromarray(deep))).pixels.astype(int)
    assert pixels.max() == 255
    assert np.corrcoef(pixels.ravel()[1:], grey.ravel()[1:])[0, 1] > 0.999


def test_cmyk_is_refused(grey: NDArray[np.uint8]) -> None:
    """A print file is refused by its mode."""
    with pytest.raises(UnreadableImage, match="pixels of mode CMYK"):
        decode(encode(Pillow.fromarray(grey).convert("CMYK"), "JPEG"))


def test_target_shrinks_a_jpeg_but_not_below_it() -> None:
    """DCT scaling is used where it can be, keeps the original's size in words, and never goes under the target."""
    large = encode(Pillow.fromarray(np.tile(np.arange(250, dtype=np.uint8), (1000, 5))), "JPEG")
    image = decode(large, target=320)
    assert (image.width, image.height) == (1250, 1000)
    assert image.pixels.shape == (500, 625)
    assert decode(large).pixels.shape == (1000, 1250)
    assert decode(large, target=2000).pixels.shape == (1000, 1250)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty: 0 bytes"),
        (b"<html>not an image</html>", "neither PNG, JPEG nor DICOM: 25 bytes starting with b'<html>no'"),
        (b"\x89PNG\r\n\x1a\n", "PNG ends after 8 bytes"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG ends after 10 bytes"),
        (header_only_png(40_000, 40_000), "header says 40000x40000 px, more than 64,000,000"),
        (header_only_png(4, 400), "4x400 px: the shorter side must have 8"),
        (encode(Pillow.new("L", (20, 20)), "BMP"), "neither PNG, JPEG nor DICOM"),
    ],
)
def test_bad_bytes_say_what_is_wrong(data: bytes, reason: str) -> None:
    """Each fault has its own reason, in one line, before anything large is decoded."""
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_files_are_refused(grey: NDArray[np.uint8], form: str, share: float) -> None:
    """Half a radiograph is never scored as a whole one."""
    data = encode(Pillow.fromarray(grey), form)
    with pytest.raises(UnreadableImage, match=form):
        decode(data[: int(len(data) * share)])


def test_animated_png_is_refused(grey: NDArray[np.uint8]) -> None:
    """Of several frames none is chosen silently."""
    first = Pillow.fromarray(grey)
    with pytest.raises(UnreadableImage, match="animated"):
        decode(encode(first, save_all=True, append_images=[first.rotate(90)]))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(["PNG", "JPEG"]))
def test_whatever_the_bytes_only_one_error_leaves(data: st.DataObject, form: str, png: bytes, jpeg: bytes) -> None:
    """A damaged file gives an image or UnreadableImage, never another exception."""
    damaged = bytearray(png if form == "PNG" else jpeg)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(damaged)).pixels
    except UnreadableImage:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2
