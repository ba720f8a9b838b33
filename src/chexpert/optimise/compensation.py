"""Weights rounded in turn, each with what the rounding of those before has changed.

To its nearest step each weight alone errs least; what a layer answers does not. Here what the rounding of one changes
in the layer's sums is taken back by those that are still to be rounded, as far as their inputs go together on real
images (GPTQ: Frantar et al. 2022, arXiv 2210.17323).
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.linalg import cholesky

from chexpert.optimise.activations import batches
from chexpert.optimise.algebra import attribute, drop_unread

__all__ = ["Compensation", "rounded"]

Matrix = NDArray[np.float64]

_POSITIONS: Final = 200
"""Places of each image that a layer's inputs are taken from, of many that say the same."""
_DAMPING: Final = 0.01
"""Of the mean of the inputs' squares, added to each: few images must not be taken for all."""
_TOP: Final = 127


def rounded(weights: Matrix, squares: Matrix, nearest: Callable[[Matrix], Matrix]) -> Matrix:
    """Weights that can be stored, and make nearly the same sums.

    Args:
        weights: (outputs, inputs).
        squares: (inputs, inputs), mean products of two inputs each.
        nearest: The nearest numbers that can be stored, of (outputs,).
    """
    order = np.argsort(-np.diag(squares), kind="stable")  # those that weigh most while many are left
    left, found = weights[:, order].copy(), np.empty_like(weights)
    damping = _DAMPING * np.mean(np.diag(squares)) + np.finfo(np.float32).tiny
    inverse = np.linalg.inv(squares[np.ix_(order, order)] + damping * np.eye(len(order)))
    factors = cholesky(inverse, lower=False)
    for at, column in enumerate(order):
        found[:, column] = nearest(left[:, at])
        error = (left[:, at] - found[:, column]) / factors[at, at]
        left[:, at + 1 :] -= np.outer(error, factors[at, at + 1 :])
    return found


class Compensation:
    """The layers of one graph, and what they read: convolutions without groups, and products with weights."""

    def __init__(self, model: onnx.ModelProto, pixels: NDArray[np.uint8], *, threads: int) -> None:
        """Slow: all layers' inputs are seen.

        Args:
            model: fp32.
            pixels: (n, 1, H, W) images.
            threads: As `VariantSettings.threads`.
        """
        self._model = model
        self._layers = list(_layers(model))
        self._squares = _squares(model, self._layers, pixels, threads)

    def int8(self, quantised: onnx.ModelProto) -> onnx.ModelProto:
        """A copy of what `static_int8` made of the graph, its weights rounded anew on the same scales."""
        changed = deepcopy(quantised)
        tensors = {tensor.name: tensor for tensor in changed.graph.initializer}
        makers = {node.output[0]: node for node in changed.graph.node}
        for layer, squares in zip(self._layers, self._squares, strict=True):
            maker = makers.get(makers[layer.node.output[0]].input[1])
            if maker is None or maker.op_type != "DequantizeLinear":
                continue
            steps, scale = (tensors[name] for name in maker.input[:2])
            # A number, or one for each output.
            step = numpy_helper.to_array(scale).astype(np.float64).reshape(-1, 1)
            found = layer.shaped(rounded(layer.matrix / step, squares, _whole)).astype(np.int8)
            steps.CopyFrom(numpy_helper.from_array(found, steps.name))
        return changed

    def bfloat16(self) -> onnx.ModelProto:
        """A copy of the graph whose weights bf16 holds exactly."""
        changed = deepcopy(self._model)
        makers = {node.output[0]: node for node in changed.graph.node}
        for layer, squares in zip(self._layers, self._squares, strict=True):
            # Under a name of its own: a constant may be that of several layers.
            name = makers[layer.node.output[0]].input[1] = f"{layer.node.output[0]}_bfloat16"
            found = layer.shaped(rounded(layer.matrix, squares, _bfloat16)).astype(np.float32)
            changed.graph.initializer.append(numpy_helper.from_array(found, name))
        drop_unread(changed.graph)
        return changed


def _whole(steps: Matrix) -> Matrix:
    return np.clip(np.rint(steps), -_TOP, _TOP)


def _bfloat16(values: Matrix) -> Matrix:
    stored: Matrix = torch.from_numpy(values).to(torch.bfloat16).to(torch.float64).numpy()
    return stored


@dataclass(frozen=True, slots=True)
class _Layer:
    """A product with weights."""

    node: onnx.NodeProto
    weights: NDArray[np.float32]

    @property
    def matrix(self) -> Matrix:
        """The weights as (outputs, inputs)."""
        outputs_first = self.weights if self.node.op_type == "Conv" else self.weights.T
        return outputs_first.reshape(len(outputs_first), -1).astype(np.float64)

    def shaped(self, matrix: Matrix) -> Matrix:
        """Such a matrix as the weights are."""
        found = matrix.reshape(self.weights.shape) if self.node.op_type == "Conv" else matrix.T
        return np.ascontiguousarray(found)

    def inputs(self, values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """What its outputs are summed of at some places, (places, inputs), of all that the node reads."""
        parts, axes = values, values.ndim - 1
        if self.node.op_type == "Conv":
            top, left, bottom, right = attribute(self.node, "pads", [0] * 4)
            down, along = attribute(self.node, "strides", [1, 1])
            padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
            windows = sliding_window_view(padded, self.weights.shape[2:], axis=(2, 3))[:, :, ::down, ::along]
            parts, axes = windows.transpose(0, 2, 3, 1, 4, 5), 3
        places = parts.shape[:axes]
        count = int(np.prod(places))
        picked = rng.choice(count, min(count, _POSITIONS * len(values)), replace=False)
        return parts[np.unravel_index(picked, places)].reshape(len(picked), -1)


def _squares(model: onnx.ModelProto, layers: Sequence[_Layer], pixels: NDArray[np.uint8], threads: int) -> list[Matrix]:
    """Mean products of two inputs each, for every layer."""
    rng = np.random.default_rng(0)
    sums: list[Any] = [0.0] * len(layers)
    counts = [0] * len(layers)
    names = sorted({layer.node.input[0] for layer in layers})
    for found in batches(model, names, pixels, threads=threads) if names else ():
        for at, layer in enumerate(layers):
            inputs = layer.inputs(found[layer.node.input[0]], rng)
            sums[at] += inputs.T @ inputs
            counts[at] += len(inputs)
    return [total.astype(np.float64) / count for total, count in zip(sums, counts, strict=True)]


def _layers(model: onnx.ModelProto) -> Iterator[_Layer]:
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in {"Conv", "MatMul"} and node.input[1] in weights and _is_plain(node):
            yield _Layer(node, numpy_helper.to_array(weights[node.input[1]]))


def _is_plain(node: onnx.NodeProto) -> bool:
    """Without groups, holes between its pixels, or borders that depend on the image."""
    return (
        attribute(node, "group", 1) == 1
        and set(attribute(node, "dilations", [1])) == {1}
        and attribute(node, "auto_pad", b"NOTSET") == b"NOTSET"
    )
