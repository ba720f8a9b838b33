"""From an image's address to its preprocessed pixels: what the ETL's processes do.

Imports little, since each process starts with it.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import fsspec
import numpy as np
from numpy.typing import NDArray

from chexpert.domain.errors import InputError
from chexpert.imaging.decode import decode
from chexpert.imaging.image import UnreadableImage
from chexpert.imaging.preprocess import PreprocessSpec, preprocess

__all__ = ["UnusableImage", "fill", "render"]


class UnusableImage(InputError):
    """One image cannot be rendered; the text says why in one line."""


def render(uri: str, digest: str, spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Read, check, decode and preprocess one image.

    Args:
        uri: path or fsspec URI.
        digest: SHA-256 that the manifest states.
        spec: preprocessing.

    Returns:
        (size, size) uint8.

    Raises:
        UnusableImage: in one line, why.
    """
    try:
        data = _read(uri)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
        raise UnusableImage(reason) from error
    try:
        # Decoding first: "empty" says more than "its checksum is another".
        image = decode(data, target=spec.size)
    except UnreadableImage as error:
        raise UnusableImage(error.reason) from error
    if sha256(data).hexdigest() != digest:
        reason = "its bytes changed since the manifest was written: write the manifest again"
        raise UnusableImage(reason)
    return preprocess(image, spec)


def fill(file: str, start: int, images: Sequence[tuple[str, str]], spec: PreprocessSpec) -> list[tuple[int, str]]:
    """Render images into slots start, start + 1, … of the (N, H, W) array in `file`.

    Returns:
        Slot and reason of each image that was refused; its slot stays black.
    """
    slots = np.lib.format.open_memmap(file, mode="r+")
    refused = []
    for slot, (uri, digest) in enumerate(images, start):
        try:
            slots[slot] = render(uri, digest, spec)
        except UnusableImage as error:
            refused.append((slot, str(error)))
    return refused


def _read(uri: str) -> bytes:
    if "://" not in uri:
        return Path(uri).read_bytes()
    with fsspec.open(uri, "rb") as file:
        data: bytes = file.read()
    return data
