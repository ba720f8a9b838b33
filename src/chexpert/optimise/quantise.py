"""Dynamic int8: weights as 8-bit integers, activations quantised at each run."""

import logging
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

__all__ = ["dynamic_int8"]


def dynamic_int8(model: Path, path: Path) -> Path:
    """Quantise the weights of an ONNX file into another one, and return its path."""
    # ONNX Runtime asks on the root logger for a preprocessing step, which changes nothing in an exported graph.
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        # Unsigned: the CPU provider has no convolution for signed 8-bit weights.
        quantize_dynamic(model, path, weight_type=QuantType.QUInt8)
    finally:
        logger.setLevel(level)
    return path
