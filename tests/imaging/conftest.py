from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


def encode(picture: Image.Image, form: str, **options: object) -> bytes:
    """Bytes of a picture."""
    stream = BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


@pytest.fixture
def grey() -> NDArray[np.uint8]:
    """A smooth (96, 120) image with all levels from about 20 to 235."""
    y, x = np.mgrid[0:96, 0:120]
    return (20 + 215 * (x / 119 * 0.6 + y / 95 * 0.4)).astype(np.uint8)


@pytest.fixture
def png(grey: NDArray[np.uint8]) -> bytes:
    return encode(Image.fromarray(grey), "PNG")


@pytest.fixture
def jpeg(grey: NDArray[np.uint8]) -> bytes:
    return encode(Image.fromarray(grey), "JPEG", quality=95)
