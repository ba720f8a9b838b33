"""Servers that the tests start themselves."""

from collections.abc import Callable
from io import BytesIO

import fsspec
import numpy as np
import pytest
from PIL import Image

from chexpert.data.s3 import HouseS3
from real_stores import (  # noqa: F401  fixtures
    answers_again,
    own_postgres,
    own_s3,
    postgres,
    postgres_server,
    s3,
    s3_server,
)


@pytest.fixture(autouse=True, scope="session")
def house_s3() -> None:
    """What the package's entry point does where it is installed."""
    fsspec.register_implementation("s3", HouseS3, clobber=True)


def _png(seed: int, size: int = 48) -> bytes:
    sink = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Another image for each seed."""
    return _png
