"""Takes the mean error of a reduced precision out of a graph: a number a label, added before the sigmoid.

Rounding the weights moves each logit by nearly the same on every image (bias correction: Nagel et al. 2019,
arXiv 1906.04721, here at the output alone). Of two DenseNet-121 in bf16 it was two fifths of the error.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from chexpert.bundle.interface import OUTPUT
from chexpert.domain.observations import OBSERVATIONS
from chexpert.optimise.errors import NotExportable
from chexpert.optimise.parity import Scores, logits_of

__all__ = ["corrected", "mean_error"]


def mean_error(scores: Scores, reference: Scores) -> NDArray[np.float32]:
    """By how much the logits of `reference` lie above those of `scores`, (14,), over images (n, 14), n at least 1."""
    difference: NDArray[np.float32] = (logits_of(reference) - logits_of(scores)).mean(axis=0).astype(np.float32)
    return difference


def corrected(graph: Path, path: Path, offset: NDArray[np.float32]) -> Path:
    """Write a graph with `offset` (14,) added to its calibrated logits, and return its path.

    Raises:
        NotExportable: It does not end as `export` writes it: a bias of 14 numbers, then the sigmoid.
    """
    model = onnx.load(str(graph))
    bias = _bias(model.graph, graph.name)
    values = numpy_helper.to_array(bias) + offset
    bias.CopyFrom(numpy_helper.from_array(values.astype(np.float32), bias.name))
    onnx.save(model, str(path))
    return path


def _bias(graph: onnx.GraphProto, name: str) -> onnx.TensorProto:
    makers = {output: node for node in graph.node for output in node.output}
    sigmoid = makers[OUTPUT]
    last = makers.get(sigmoid.input[0])
    found = [
        tensor
        for tensor in graph.initializer
        if last is not None and last.op_type == "Add" and tensor.name in last.input
        if list(tensor.dims) == [len(OBSERVATIONS)]
    ]
    users = sum(found[0].name in node.input for node in graph.node) if found else 0
    if sigmoid.op_type != "Sigmoid" or users != 1:
        raise NotExportable(name, "it does not end in a bias of its own and a sigmoid")
    return found[0]
