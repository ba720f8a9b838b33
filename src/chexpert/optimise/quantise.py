"""8-bit integers: weights alone, or weights and activations in ranges seen on real images."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from chexpert.bundle.interface import INPUT

__all__ = ["dynamic_int8", "static_int8"]

_CALIBRATION_BATCH: Final = 8


def dynamic_int8(model: Path, path: Path) -> Path:
    """Quantise the weights of an ONNX file into another one, and return its path."""
    with _quiet():
        # Unsigned: the CPU provider has no convolution for signed 8-bit weights.
        quantize_dynamic(model, path, weight_type=QuantType.QUInt8)
    return path


def static_int8(model: Path, path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Quantise convolutions, and all of a transformer's products, attention's too, per channel, as QDQ pairs.

    Args:
        model: The fp32 graph.
        path: File to write, which is returned.
        pixels: (n, 1, H, W) images that the ranges of activations are taken from, n at least 1.
    """
    with _quiet(), TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        # Folds batch normalisation into convolutions, whose outputs would else be quantised before it.
        quant_pre_process(str(model), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded),
            str(path),
            _Images(pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_operators(folded),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return path


def _operators(model: Path) -> list[str]:
    """A CNN's last layer costs nothing and stays in fp32; a transformer's time is in its products."""
    present = {node.op_type for node in onnx.load(str(model)).graph.node}
    return ["Conv", "MatMul", "Gemm"] if "MatMul" in present else ["Conv"]


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
