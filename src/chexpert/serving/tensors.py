"""The V2 binary tensor extension: raw little-endian tensors behind a JSON header. numpy only, no bytes copied twice.

Source: KServe documentation, "binary tensor data extension"; the same bytes are gRPC's `raw_input_contents`.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chexpert.domain.errors import InputError

__all__ = ["HEADER_LENGTH", "MalformedTensor", "decode_bytes", "decode_fixed", "encode_bytes"]

HEADER_LENGTH: Final = "inference-header-content-length"
"""HTTP header with the length of the JSON part in bytes."""

_DTYPES: Final[dict[str, np.dtype[Any]]] = {"UINT8": np.dtype("u1"), "FP32": np.dtype("<f4")}


class MalformedTensor(InputError):
    """The raw bytes do not hold the tensor they announce."""

    def __init__(self, tensor: str, reason: str) -> None:
        super().__init__(f"tensor {tensor!r}: {reason}")
        self.tensor = tensor
        self.reason = reason


def encode_bytes(elements: Iterable[bytes]) -> bytes:
    """A BYTES tensor: each element behind its length (4 bytes, little-endian)."""
    return b"".join(part for element in elements for part in (struct.pack("<I", len(element)), element))


def decode_bytes(tensor: str, raw: bytes | memoryview, count: int) -> list[bytes]:
    """The `count` elements of a BYTES tensor; MalformedTensor if the bytes hold fewer or more."""
    elements: list[bytes] = []
    view, at = memoryview(raw), 0
    while at < len(view):
        if at + 4 > len(view):
            raise MalformedTensor(tensor, f"{len(view) - at} stray bytes after element {len(elements)}")
        (length,) = struct.unpack_from("<I", view, at)
        at += 4
        if at + length > len(view):
            raise MalformedTensor(tensor, f"element {len(elements)} says {length} bytes, {len(view) - at} are left")
        elements.append(bytes(view[at : at + length]))
        at += length
    if len(elements) != count:
        raise MalformedTensor(tensor, f"its shape says {count} elements, its bytes hold {len(elements)}")
    return elements


def decode_fixed(tensor: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> NDArray[Any]:
    """A UINT8 or FP32 tensor as a read-only array over `raw`, without a copy."""
    if datatype not in _DTYPES:
        raise MalformedTensor(tensor, f"datatype {datatype} is not one of {', '.join(_DTYPES)}")
    dtype = _DTYPES[datatype]
    if any(side < 1 for side in shape):
        raise MalformedTensor(tensor, f"shape {list(shape)} has a side below 1")
    expected = math.prod(shape) * dtype.itemsize  # numpy's own product wraps around at 2**63
    if len(raw) != expected:
        raise MalformedTensor(tensor, f"shape {list(shape)} of {datatype} needs {expected} bytes, not {len(raw)}")
    array: NDArray[Any] = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return array
