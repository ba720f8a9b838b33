"""Moves the normalisation of pixels into the weights of the first convolution.

A graph as torch exports it begins with scale, mean and spread, on numbers that bf16 has to round: (p/255 - 0.5) / 0.25.
The same convolution of p - 127.5, with its weights times 1/63.75, gives the same sums, and bf16 holds p - 127.5 exactly
for each of the 256 grey levels. Of two DenseNet-121 in bf16 that was 40 and 60 % of the error; it costs nothing.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from chexpert.bundle.interface import INPUT
from chexpert.optimise.algebra import drop_unread

__all__ = ["CENTRED", "middle_level", "with_exact_pixels", "with_whole_pixels"]

CENTRED: Final = f"{INPUT}_centred"
"""What the first convolution reads: grey levels less the middle one."""

Affine = tuple[float, float]
"""Slope and shift."""

_CHAIN: Final[Mapping[str, Callable[[Affine, float], Affine]]] = MappingProxyType(
    {
        "Mul": lambda line, by: (line[0] * by, line[1] * by),
        "Div": lambda line, by: (line[0] / by, line[1] / by),
        "Add": lambda line, by: (line[0], line[1] + by),
        "Sub": lambda line, by: (line[0], line[1] - by),
    },
)
_SLACK: Final = 1e-4
"""Of a grey level."""


def with_exact_pixels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function of its pixels, one subtraction before the first convolution.

    Returns:
        A changed copy where the input goes through a cast and operations with one number each to a single convolution
        whose weights nothing else uses; else the model as it is.
    """
    changed = deepcopy(model)
    graph = changed.graph
    numbers = {tensor.name: tensor for tensor in graph.initializer}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    cast = _only(users, INPUT)
    if cast is None or cast.op_type != "Cast":
        return model
    line, chain = (1.0, 0.0), []
    node = _only(users, cast.output[0])
    while node is not None and node.op_type in _CHAIN and (by := _number(node, numbers)) is not None:
        line = _CHAIN[node.op_type](line, by)
        chain.append(node)
        node = _only(users, node.output[0])
    slope, shift = line
    if node is None or node.op_type != "Conv" or not chain or not slope:
        return model
    weights = numbers.get(node.input[1])
    if weights is None or len(users[weights.name]) > 1:
        return model
    scaled = numpy_helper.to_array(weights).astype(np.float64) * slope
    weights.CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), weights.name))
    middle = numpy_helper.from_array(np.array(_halves(-shift / slope), np.float32), f"{INPUT}_middle")
    graph.initializer.append(middle)
    centred = onnx.helper.make_node("Sub", [cast.output[0], middle.name], [CENTRED], name=CENTRED)
    graph.node.insert(list(graph.node).index(cast) + 1, centred)
    node.input[0] = centred.output[0]
    for gone in chain:
        graph.node.remove(gone)
        if len(users[gone.input[1]]) == 1:
            graph.initializer.remove(numbers[gone.input[1]])
    return changed


def with_whole_pixels(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with p - 128 in place of p - 127.5, which 8 bits hold exactly: rounded, that would be off by half a level.

    The same function except at the border, where padding then stands for grey level 128 and not for 127.5.

    Args:
        model: From `with_exact_pixels`; else it is returned as it is.
    """
    changed = deepcopy(model)
    graph = changed.graph
    numbers = {tensor.name: tensor for tensor in graph.initializer}
    reader = next((node for node in graph.node if CENTRED in node.input), None)
    if reader is None:
        return model
    middle = middle_level(model)
    moved = np.ceil(middle) - middle
    weights, *bias = (numpy_helper.to_array(numbers[name]).astype(np.float64) for name in reader.input[1:])
    made_up = sum(bias, moved * weights.reshape(len(weights), -1).sum(axis=1))
    for name, values in ((f"{CENTRED}_middle", middle + moved), (f"{CENTRED}_bias", made_up)):
        graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
    _centring(changed).input[1] = f"{CENTRED}_middle"
    reader.input[2:] = [f"{CENTRED}_bias"]
    drop_unread(graph)
    return changed


def middle_level(model: onnx.ModelProto) -> float:
    """Grey level that CENTRED has as 0."""
    found = next(tensor for tensor in model.graph.initializer if tensor.name == _centring(model).input[1])
    return float(numpy_helper.to_array(found).item())


def _centring(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if CENTRED in node.output)


def _halves(middle: float) -> float:
    """The nearest half grey level, where the middle misses it only because float32 has no 1/255."""
    nearest = round(2.0 * middle) / 2.0
    return nearest if abs(nearest - middle) < _SLACK else middle


def _only(users: Mapping[str, list[onnx.NodeProto]], name: str) -> onnx.NodeProto | None:
    """The one node that computes with this value, and takes it first."""
    found = [node for node in users.get(name, []) if node.op_type != "Shape"]
    return found[0] if len(found) == 1 and found[0].input[0] == name else None


def _number(node: onnx.NodeProto, numbers: Mapping[str, onnx.TensorProto]) -> float | None:
    """What the node adds or multiplies by, if it is one number."""
    tensor = numbers.get(node.input[1])
    array = None if tensor is None else numpy_helper.to_array(tensor)
    return float(array.item()) if array is not None and array.size == 1 else None
