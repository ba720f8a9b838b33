"""Does an ONNX file keep tensors in other files? Read from its protobuf wire format, so that serving needs no `onnx`.

Field numbers: github.com/onnx/onnx, onnx/onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

__all__ = ["has_external_data"]

_TENSOR: Final = "tensor"
_CHILDREN: Final = MappingProxyType(
    {
        "model": {7: "graph", 25: "function"},
        "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
        "function": {7: "node", 11: "attribute"},
        "node": {5: "attribute"},
        "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
        "sparse": {1: _TENSOR, 2: _TENSOR},
        _TENSOR: {},
    },
)
_EXTERNAL_DATA: Final = 13
_DATA_LOCATION: Final = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of the model lies outside the file.

    Raises:
        ValueError: The bytes are no protobuf message.
    """
    stack = [("model", memoryview(model))]
    while stack:
        kind, message = stack.pop()
        for number, value in _fields(message):
            if kind == _TENSOR and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1)):
                return True
            child = _CHILDREN[kind].get(number)
            if child and isinstance(value, memoryview):
                stack.append((child, value))
    return False


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
