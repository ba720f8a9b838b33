"""Int8 where it costs little, float where it costs much.

Rounding to 8 bits is not equally wrong everywhere: of a DenseNet-121's 120 convolutions the first made four fifths of
the squared error, and ten made nine tenths of it with a ninth of the multiplications. Each product of the network is
therefore rounded alone and the change of the logits measured; then as many are rounded together, those with the most
multiplications per squared error first, as keep the flags. Few images tell how many flags that changes: the change of
each is tried on the scores of all, and stretched, since hardly one lies as near to a point as the change is long.

Sensitivity per layer: Dong et al. 2019 (arXiv 1905.03696), there by the Hessian, here by measuring.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import prod, sqrt
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import expit

from chexpert.bundle.errors import RuntimeUnavailable
from chexpert.bundle.sessions import ONNXRUNTIME, OPENVINO, open_graph
from chexpert.domain.observations import Observation
from chexpert.domain.predictions import flag
from chexpert.optimise.parity import Scores, logits_of, session_scores
from chexpert.optimise.quantise import PRODUCTS, only_rounded

__all__ = ["Part", "Rounding", "flags_changed"]

Changes = NDArray[np.float64]

_LEAST: Final = 1e-4
"""An error below it is counted as this: that of so few images may be zero by chance."""
_STRETCH: Final = 8.0
"""A change so many times as long changes so many times as many flags, while it is short against the scores' own spread.
Of a DenseNet-121 64 images told 0.3 and 0.8 % by that of what were 0.4 and 1.1 % on 533 others; 0.1 and 0.02 % without.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One product of a network: a convolution, or a matrix's."""

    name: str
    multiplications: int
    """For one image."""
    error: float
    """Rms change of a logit when it alone is rounded, without the mean of each label, which `correction` takes out."""


def flags_changed(scores: Scores, changes: Changes, thresholds: Mapping[Observation, float]) -> float:
    """Share of flags that changes of logits change, each tried on each image, stretched.

    Args:
        scores: (n, 14), n at least 1.
        changes: Of the logits, (m, 14), seen on these images or on others, m at least 1.
        thresholds: Operating points.
    """
    flags = [flag(row, thresholds) for row in scores.tolist()]
    moved = expit(logits_of(scores)[:, None] + _STRETCH * changes)
    found = [flag(row, thresholds) != flags[image] for image, rows in enumerate(moved) for row in rows.tolist()]
    return float(np.mean(found)) / _STRETCH


class Rounding:
    """A graph, the same graph with all products in 8 bits, and what lies between."""

    def __init__(
        self, model: onnx.ModelProto, quantised: onnx.ModelProto, pixels: NDArray[np.uint8], *, threads: int
    ) -> None:
        """Nothing is measured yet.

        Args:
            model: fp32, folded.
            quantised: From `static_int8` of it, without outputs.
            pixels: (n, 1, H, W) images that errors are measured on.
            threads: As `VariantSettings.threads`.
        """
        self._model, self._quantised = model, quantised
        self._pixels, self._threads = pixels, threads
        self.scores = self._answers(model, len(pixels))
        """Of the fp32 graph, (n, 14)."""

    def parts(self, tried: int) -> list[Part]:
        """All products, those to be rounded first in front: slow, a session and `tried` images for each."""
        costs = multiplications(self._model)
        parts = []
        for name in _rounded(self._quantised):
            alone = only_rounded(self._quantised, self._model, {name})
            # ONNX Runtime computes a lone QDQ pair as it stands, in fp32: the rounding is the same, whatever runs it.
            parts.append(Part(name, costs[name], _rms(self._changes(self._answers(alone, tried)))))
        return sorted(parts, key=lambda part: -part.multiplications / max(part.error, _LEAST) ** 2)

    def as_many(
        self,
        parts: Sequence[Part],
        thresholds: Mapping[Observation, float],
        share: float,
        *,
        rest: onnx.ModelProto,
        precision: str,
    ) -> onnx.ModelProto:
        """The graph with the first of the parts in 8 bits, as many as change at most this share of the flags.

        Args:
            parts: In their order.
            thresholds: Operating points.
            share: Of the flags.
            rest: The graph that the other parts are taken from.
            precision: What OpenVINO computes it in; where it can't here, no part is in 8 bits.
        """
        low, high = 0, len(parts)
        while low < high:
            middle = (low + high + 1) // 2
            is_kept = self._is_kept(self._first(parts, middle, rest), thresholds, share, precision)
            low, high = (middle, high) if is_kept else (low, middle - 1)
        return self._first(parts, low, rest)

    def _first(self, parts: Sequence[Part], count: int, rest: onnx.ModelProto) -> onnx.ModelProto:
        return only_rounded(self._quantised, rest, {part.name for part in parts[:count]})

    def _is_kept(
        self, graph: onnx.ModelProto, thresholds: Mapping[Observation, float], share: float, precision: str
    ) -> bool:
        try:
            answers = self._answers(graph, len(self._pixels), OPENVINO, precision)
        except RuntimeUnavailable:
            return False
        return flags_changed(self.scores, self._changes(answers), thresholds) <= share

    def _changes(self, answers: Scores) -> Changes:
        """Of the first images' logits, without their mean, which `correction` takes out."""
        change = logits_of(answers) - logits_of(self.scores[: len(answers)])
        return np.asarray(change - change.mean(axis=0))

    def _answers(
        self, graph: onnx.ModelProto, count: int, runtime: str = ONNXRUNTIME, precision: str = "float32"
    ) -> Scores:
        session = open_graph(
            graph.SerializeToString(),
            self._pixels.shape[-1],
            where="a mixture of int8 and float",
            threads=self._threads,
            runtime=runtime,
            precision=precision,
        )
        return session_scores(session, lambda part: self._pixels[:count][part], count)


def _rms(changes: Changes) -> float:
    return sqrt(float(np.mean(changes**2)))


def multiplications(model: onnx.ModelProto) -> dict[str, int]:
    """Of one image, by the name of each product; 0 where a shape is not known."""
    one = deepcopy(model)
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for value in onnx.shape_inference.infer_shapes(one, data_prop=True).graph.value_info:
        shapes[value.name] = [length.dim_value for length in value.type.tensor_type.shape.dim]
    found = {}
    for node in model.graph.node:
        if node.op_type in PRODUCTS:
            first, second = (shapes.get(name, [0]) for name in node.input[:2])
            inputs = prod(second[1:]) if node.op_type == "Conv" else first[-1]
            found[node.name] = prod(shapes.get(node.output[0], [0])) * inputs
    return found


def _rounded(model: onnx.ModelProto) -> list[str]:
    """Names of the products that read 8 bits."""
    made = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return [node.name for node in model.graph.node if node.op_type in PRODUCTS and node.input[0] in made]
