"""Channels brought nearer to each other before they share one range of 8 bits.

A convolution reads all its channels on one scale, on which a quiet one beside a loud one gets few of the 256 steps.
Behind a rectifier a channel may be divided by a number, if the convolution's weights for it are multiplied by that: the
same function. What is loud in its inputs is then partly loud in its weights, which have a scale for each output (Nagel
et al. 2019, arXiv 1906.04721; Xiao et al. 2023, arXiv 2211.10438).
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from chexpert.optimise.activations import batches
from chexpert.optimise.algebra import drop_unread

__all__ = ["levelled"]

Channels = NDArray[np.float64]

_SHARE: Final = 0.75
"""Power of a channel's range that goes over to the weights: 0 leaves all in the inputs, 1 nothing."""
_LEAST: Final = 1e-3
"""Of the loudest channel's range: one that was never seen above it is counted as this."""
_POOLS: Final = frozenset({"AveragePool", "MaxPool"})


def levelled(model: onnx.ModelProto, pixels: NDArray[np.uint8], *, threads: int) -> onnx.ModelProto:
    """A copy of the same function, whose channels are levelled between a rectifier and the convolution that it feeds.

    Args:
        model: fp32, folded.
        pixels: (n, 1, H, W) images that ranges are seen on.
        threads: As `VariantSettings.threads`.
    """
    changed = deepcopy(model)
    levels = _Levels(changed.graph)
    pairs = {node.output[0]: pair for node in changed.graph.node if (pair := levels.around(node)) is not None}
    for name, tops in _tops(model, list(pairs), pixels, threads).items():
        before, after = pairs[name]
        loudest = max(float(tops.max()), float(np.finfo(np.float32).tiny))
        loudness = np.maximum(tops / loudest, _LEAST) ** _SHARE
        levels.divide(before, loudness)
        levels.multiply(after, loudness)
    drop_unread(changed.graph)
    return changed


def _tops(model: onnx.ModelProto, names: list[str], pixels: NDArray[np.uint8], threads: int) -> Mapping[str, Channels]:
    """Largest value of each channel."""
    tops: dict[str, Channels] = {}
    for found in batches(model, names, pixels, threads=threads) if names else ():
        for name, values in found.items():
            seen = values.max((0, 2, 3)).astype(np.float64)
            tops[name] = np.maximum(tops[name], seen) if name in tops else seen
    return tops


class _Levels:
    """A graph whose constants are changed."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def around(self, rectifier: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
        """What a rectifier alone reads, and the convolution that alone reads it, through a pooling or not."""
        before = self._makers.get(rectifier.input[0]) if rectifier.op_type == "Relu" else None
        if before is None or before.op_type not in {"BatchNormalization", "Conv"} or self._only(before) is None:
            return None
        after = self._only(rectifier)
        if after is not None and after.op_type in _POOLS:
            after = self._only(after)
        if after is None or after.op_type != "Conv":
            return None
        inputs, outputs = self._shape(after), self._shape(before)
        if len(inputs) != 4 or not outputs or inputs[1] != outputs[0]:  # noqa: PLR2004 -- a plane; and no groups
            return None
        return before, after

    def divide(self, node: onnx.NodeProto, by: Channels) -> None:
        """What the node puts out: of a normalisation scale and shift, of a convolution weights and bias."""
        for position in range(1, min(len(node.input), 3)):
            self._scale(node, position, 1.0 / by)

    def multiply(self, node: onnx.NodeProto, by: Channels) -> None:
        """What a convolution makes of its inputs."""
        self._scale(node, 1, by[None, :, None, None])

    def _scale(self, node: onnx.NodeProto, position: int, by: Channels) -> None:
        # Under a name of its own: the exporter has equal constants share one.
        name = f"{node.output[0]}_levelled{position}"
        values = numpy_helper.to_array(self._constants[node.input[position]]).astype(np.float64)
        shaped = by if by.ndim == values.ndim else by.reshape(-1, *[1] * (values.ndim - 1))
        tensor = numpy_helper.from_array((values * shaped).astype(np.float32), name)
        if name in self._constants:  # scaled twice: as what follows one rectifier, and as what comes before the next
            self._constants[name].CopyFrom(tensor)
        else:
            self._constants[name] = self._graph.initializer.add()
            self._constants[name].CopyFrom(tensor)
            node.input[position] = name

    def _only(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        readers = self._readers.get(node.output[0], [])
        is_output = any(output.name == node.output[0] for output in self._graph.output)
        return readers[0] if len(readers) == 1 and not is_output else None

    def _shape(self, node: onnx.NodeProto) -> list[int]:
        """Of its weights; empty: they are computed, or its bias is."""
        if any(name not in self._constants for name in node.input[1:]):
            return []
        return list(self._constants[node.input[1]].dims)
