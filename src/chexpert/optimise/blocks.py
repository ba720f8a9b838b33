"""Dense blocks in 8 bits, concatenated in 8 bits.

Each layer of a dense block normalises, rectifies and rounds all that came before it, which is concatenated in fp32 for
every layer anew. All three work on each number alone, so they may come before the concatenation, which then moves a
quarter of the bytes: the same numbers.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import onnx
from onnx import helper, numpy_helper

from chexpert.optimise.algebra import attribute, drop_unread

__all__ = ["quantised_first"]

_CHANNELS: Final = 1
"""The axis."""
_JOINED: Final = 4
"""Layers whose outputs are joined in fp32 once, for all that read them: fewer parts, and longer ones."""


def quantised_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which normalisation, rectifier and rounding come before the concatenation that they alone read."""
    changed = deepcopy(model)
    graph = changed.graph
    blocks = _Blocks(model)
    del graph.node[:]
    graph.node.extend(made for node in model.graph.node for made in blocks.rewritten(node))
    graph.initializer.extend(blocks.constants)
    drop_unread(graph)
    graph.ClearField("value_info")  # shapes noted for what is no longer there
    return changed


_Part = tuple[str, ...]
"""Names of values that are joined before anything else, or of one alone."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Nodes that each are all that reads the one before."""

    concat: onnx.NodeProto
    normalisation: onnx.NodeProto
    rectifier: onnx.NodeProto
    rounding: onnx.NodeProto


class _Blocks:
    """The concatenations of a graph, taken apart."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.shape_inference.infer_shapes(model).graph
        self.constants: list[onnx.TensorProto] = []
        """Of the new nodes."""
        self._values = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._reads = [name for node in graph.node for name in node.input] + [output.name for output in graph.output]
        self._widths = {value.name: _width(value) for value in (*graph.input, *graph.value_info)}
        found = [self._layer(node) for node in graph.node if node.op_type == "QuantizeLinear"]
        self._layers = {layer.rounding.output[0]: layer for layer in found if layer is not None}
        self._begun = {self._leaves(layer.concat)[0] for layer in self._layers.values()}
        self._joined: set[_Part] = set()

    def rewritten(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """What stands in a node's place. What is then read no more is still among it."""
        layer = self._layers.get(node.output[0])
        if layer is None and not (_is_concat(node) and self._leaves(node)[0] in self._begun):
            yield node
            return
        parts = _parts(self._leaves(node if layer is None else layer.concat))
        for part in parts:
            if len(part) > 1 and part not in self._joined:
                self._joined.add(part)
                yield _concat(part, _name(part))
        names = [_name(part) for part in parts]
        if layer is not None:
            stops = accumulate((sum(self._widths[leaf] for leaf in part) for part in parts), initial=0)
            for name, channels in zip(names, pairwise(stops), strict=True):
                yield from self._rounded(layer, name, channels)
            names = [f"{node.output[0]}/{name}" for name in names]
        # One in fp32 is taken apart too: the concatenation that it went on from would be kept for it alone.
        yield _concat(names, node.output[0])

    def _rounded(self, layer: _Layer, name: str, channels: tuple[int, int]) -> Iterator[onnx.NodeProto]:
        """A part normalised by its channels of the constants, rectified and rounded."""
        last = f"{layer.rounding.output[0]}/{name}"
        constants = [self._slice(constant, channels) for constant in layer.normalisation.input[1:]]
        yield _copy(layer.normalisation, (name, *constants), f"{last}/normalised")
        yield _copy(layer.rectifier, (f"{last}/normalised",), f"{last}/rectified")
        yield _copy(layer.rounding, (f"{last}/rectified", *layer.rounding.input[1:]), last)

    def _slice(self, name: str, channels: tuple[int, int]) -> str:
        start, stop = channels
        part = f"{name}/{start}:{stop}"
        if all(tensor.name != part for tensor in self.constants):
            values = numpy_helper.to_array(self._values[name])[start:stop]
            self.constants.append(numpy_helper.from_array(values, part))
        return part

    def _leaves(self, concat: onnx.NodeProto) -> _Part:
        """What it joins, through the concatenations that it goes on from."""
        found: list[str] = []
        for name in concat.input:
            maker = self._makers.get(name)
            found.extend(self._leaves(maker) if maker is not None and _is_concat(maker) else (name,))
        return tuple(found)

    def _layer(self, rounding: onnx.NodeProto) -> _Layer | None:
        """The layer that ends in it, if it is of that form."""
        rectifier = self._alone(rounding, "Relu")
        normalisation = self._alone(rectifier, "BatchNormalization")
        concat = self._makers.get(normalisation.input[0]) if normalisation is not None else None
        if rectifier is None or normalisation is None or concat is None or not _is_concat(concat):
            return None
        constants = (*normalisation.input[1:], *rounding.input[1:])
        is_known = all(self._widths.get(leaf) for leaf in self._leaves(concat))
        if not is_known or any(name not in self._values for name in constants) or self._values[rounding.input[1]].dims:
            return None
        return _Layer(concat, normalisation, rectifier, rounding)

    def _alone(self, reader: onnx.NodeProto | None, operator: str) -> onnx.NodeProto | None:
        """What makes the reader's input, if it is such an operator, and nothing else reads that."""
        maker = self._makers.get(reader.input[0]) if reader is not None else None
        if maker is None or maker.op_type != operator or self._reads.count(maker.output[0]) > 1:
            return None
        return maker


def _parts(leaves: _Part) -> list[_Part]:
    """What the block begins with, which is wide, and its layers by some at a time."""
    return [leaves[:1], *(leaves[start : start + _JOINED] for start in range(1, len(leaves), _JOINED))]


def _name(part: _Part) -> str:
    return "+".join(part)


def _concat(inputs: Sequence[str], to: str) -> onnx.NodeProto:
    return helper.make_node("Concat", inputs, [to], to, axis=_CHANNELS)


def _copy(node: onnx.NodeProto, inputs: Sequence[str], to: str) -> onnx.NodeProto:
    """The node on other inputs."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = to
    copy.input[:], copy.output[:] = inputs, [to]
    return copy


def _is_concat(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "Concat" and attribute(node, "axis", None) == _CHANNELS)


def _width(value: onnx.ValueInfoProto) -> int:
    """Channels; 0: not known."""
    sides = value.type.tensor_type.shape.dim
    return sides[_CHANNELS].dim_value if len(sides) > _CHANNELS else 0
