"""The tensors of an ONNX file, read from its protobuf wire format, so that serving needs no `onnx`.

Field numbers: github.com/onnx/onnx, onnx/onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tensor", "has_external_data", "tensors"]

_TENSOR: Final = "tensor"
_CHILDREN: Final = MappingProxyType(
    {
        "model": {7: "graph", 25: "function"},
        "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
        "function": {7: "node", 11: "attribute"},
        "node": {5: "attribute"},
        "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
        "sparse": {1: _TENSOR, 2: _TENSOR},
    },
)
_OUTPUT_OF_NODE: Final = 2
_NAME_OF_ATTRIBUTE: Final = 1
_FLOATS_OF_ATTRIBUTE: Final = frozenset({2, 7})
_KIND, _INT32_DATA, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 5, 8, 9, 13, 14
_FLOAT_DATA, _DOUBLE_DATA = 4, 10
_FLOAT32: Final = 1
# By TensorProto.DataType: the bits of one value, and those of its exponent, which are all set in NaN and infinity only.
_EXPONENTS: Final = MappingProxyType(
    {_FLOAT32: ("<u4", 0x7F800000), 10: ("<u2", 0x7C00), 11: ("<u8", 0x7FF0 << 48), 16: ("<u2", 0x7F80)},
)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(slots=True)
class Tensor:
    """Values that the graph holds: an initializer, a constant, or floats among a node's attributes."""

    name: str
    """Its own, or that of the node's output that it makes."""
    kind: int = 0
    """As TensorProto.DataType."""
    external: bool = False
    """Whether its values lie in another file."""
    parts: list[memoryview] = field(default_factory=list)
    """Values of 16 to 64 bits as they lie in the file."""
    spelled: list[memoryview | int] = field(default_factory=list)
    """Values of 16 bits that the file spells as varints, packed or single."""

    @property
    def finite(self) -> bool:
        """Whether no value is NaN or infinite; True for a tensor that is not of float16, bfloat16, float32 or 64."""
        if self.kind not in _EXPONENTS:
            return True
        layout, exponent = _EXPONENTS[self.kind]
        width = np.dtype(layout).itemsize
        bits: list[NDArray[np.unsignedinteger]] = [
            np.frombuffer(part[: len(part) // width * width], layout) for part in self.parts
        ]
        if self.spelled:
            bits.append(np.array([value & 0xFFFF for part in self.spelled for value in _varints(part)], layout))
        return not any(((values & exponent) == exponent).any() for values in bits)


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of the model lies outside the file.

    Raises:
        ValueError: The bytes are no protobuf message.
    """
    return any(tensor.external for tensor in tensors(model))


def tensors(model: bytes) -> Iterator[Tensor]:
    """Each tensor of the model, wherever it hides: in subgraphs, functions, attributes and sparse tensors too.

    Raises:
        ValueError: The bytes are no protobuf message.
    """
    stack = [("model", memoryview(model), "")]
    while stack:
        kind, message, owner = stack.pop()
        if kind == _TENSOR:
            yield _tensor(message, owner)
            continue
        found = list(_fields(message))
        if kind == "node":
            owner = next((_text(value) for number, value in found if number == _OUTPUT_OF_NODE), owner)
        if kind == "attribute" and (floats := _floats(found)):
            name = next((_text(value) for number, value in found if number == _NAME_OF_ATTRIBUTE), "")
            yield Tensor(f"{owner} ({name})", _FLOAT32, parts=floats)
        for number, value in found:
            child = _CHILDREN[kind].get(number)
            if child and isinstance(value, memoryview):
                stack.append((child, value, owner))


def _floats(attribute: Sequence[tuple[int, int | memoryview]]) -> list[memoryview]:
    return [value for number, value in attribute if number in _FLOATS_OF_ATTRIBUTE and isinstance(value, memoryview)]


def _tensor(message: memoryview, owner: str) -> Tensor:
    tensor = Tensor(owner)
    for number, value in _fields(message):
        if isinstance(value, int):
            if number == _KIND:
                tensor.kind = value
            elif number == _INT32_DATA:
                tensor.spelled.append(value)
            tensor.external |= number == _DATA_LOCATION and value == 1
        elif number == _NAME:
            tensor.name = _text(value) or owner
        elif number in {_FLOAT_DATA, _DOUBLE_DATA, _RAW_DATA}:
            tensor.parts.append(value)
        elif number == _INT32_DATA:
            tensor.spelled.append(value)
        tensor.external |= number == _EXTERNAL_DATA
    return tensor


def _text(value: int | memoryview) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview) else ""


def _varints(part: memoryview | int) -> Iterator[int]:
    at = 0
    while isinstance(part, memoryview) and at < len(part):
        value, at = _varint(part, at)
        yield value
    if isinstance(part, int):
        yield part


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
            if wire == _BYTES:
                size, at = _varint(message, at)
            if size is None or at + size > len(message):
                msg = f"no protobuf message: field {number} of wire type {wire} at byte {at}"
                raise ValueError(msg)
            yield number, message[at : at + size]
            at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 -- the continuation bit of protobuf's varint
            return value, at
    msg = "no protobuf message: it ends within a number"
    raise ValueError(msg)
