"""8-bit integers: weights alone, or weights and activations in ranges seen on real images."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from chexpert.bundle.interface import INPUT
from chexpert.optimise.algebra import drop_unread
from chexpert.optimise.stem import CENTRED, middle_level

__all__ = ["PRODUCTS", "dynamic_int8", "folded", "only_rounded", "static_int8"]

PRODUCTS: Final = ("Conv", "MatMul", "Gemm")
"""Operators whose multiplications are a network's time."""
_CALIBRATION_BATCH: Final = 8
_HEADROOM: Final = 1.05
"""What some images never exceeded others do; wider ranges have coarser steps."""


def dynamic_int8(model: Path, path: Path) -> Path:
    """Quantise the weights of an ONNX file into another one, and return its path."""
    with _quiet():
        # Unsigned: the CPU provider has no convolution for signed 8-bit weights.
        quantize_dynamic(model, path, weight_type=QuantType.QUInt8)
    return path


def folded(model: Path, path: Path) -> Path:
    """Fold batch normalisation into the convolutions before it, into another file; return its path.

    Outputs of those would else be quantised before it.
    """
    with _quiet():
        quant_pre_process(str(model), str(path), skip_symbolic_shape=True)
    return path


def static_int8(model: Path, path: Path, pixels: NDArray[np.uint8], *, outputs: bool) -> Path:
    """Quantise convolutions, and all of a transformer's products, attention's too, per channel, as QDQ pairs.

    Args:
        model: The fp32 graph, folded.
        path: File to write, which is returned.
        pixels: (n, 1, H, W) images that the ranges of activations are taken from, n at least 1.
        outputs: Quantise what a product puts out too, and not only what it reads. ONNX Runtime has no 8-bit convolution
            else; OpenVINO has, and what a dense block or a shortcut adds up stays exact.
    """
    plain = onnx.load(str(model))
    operators = _operators(plain)
    with _quiet():
        quantize_static(
            str(model),
            str(path),
            _Images(pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=operators,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={} if outputs else {"OpTypesToExcludeOutputQuantization": operators},
        )
    if not outputs:
        products = {node.name for node in plain.graph.node if node.op_type in operators}
        onnx.save(_with_headroom(only_rounded(onnx.load(str(path)), plain, products)), str(path))
    return path


def _with_headroom(quantised: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose activations have wider ranges than were seen, except the pixels', of which there are no others."""
    wider = deepcopy(quantised)
    numbers = {tensor.name: tensor for tensor in wider.graph.initializer}
    for node in wider.graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero = (numbers[name] for name in node.input[1:])
            step = numpy_helper.to_array(scale) * _HEADROOM
            if node.input[0] == CENTRED:
                step, middle = np.ones(()), middle_level(quantised)
                zero.CopyFrom(numpy_helper.from_array(np.asarray(middle, np.uint8), zero.name))
            scale.CopyFrom(numpy_helper.from_array(step.astype(np.float32), scale.name))
    return wider


def only_rounded(quantised: onnx.ModelProto, model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """A copy of `model` in which the named products read 8 bits, as in `quantised`, whose own outputs are not rounded.

    Everything else reads what it reads in `model`: the quantiser has others read rounded numbers too, where a
    convolution reads the same, such as the shortcut of a residual block.
    """
    mixed = deepcopy(quantised)
    graph = mixed.graph
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    before = {node.output[0]: node for node in model.graph.node}
    for node in graph.node:
        if node.name in names or node.output[0] not in before:
            continue
        for position, name in enumerate(before[node.output[0]].input):
            node.input[position] = name
            if name in constants:
                # Under a name of its own: that of a quantised bias stays the bias's.
                node.input[position] = own = f"{name}_float"
                if all(tensor.name != own for tensor in graph.initializer):
                    graph.initializer.add().CopyFrom(constants[name])
                    graph.initializer[-1].name = own
    drop_unread(graph)
    return mixed


def _operators(model: onnx.ModelProto) -> list[str]:
    """A CNN's last layer costs nothing and stays in fp32; a transformer's time is in its products."""
    present = {node.op_type for node in model.graph.node}
    return list(PRODUCTS) if "MatMul" in present else ["Conv"]


class _Images(CalibrationDataReader):  # type: ignore[misc]  # its base is untyped
    """Batches of pixels, once."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (
            pixels[start : start + _CALIBRATION_BATCH] for start in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime asks on the root logger for a preprocessing that has been done or changes nothing."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
