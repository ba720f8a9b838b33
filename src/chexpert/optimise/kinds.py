"""The variants there are: which graph, by which runtime, computed in what."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from chexpert.bundle.sessions import ONNXRUNTIME, OPENVINO

__all__ = ["DYNAMIC_INT8", "FP32", "KINDS", "STATIC_INT8", "Kind"]

FP32: Final = "fp32"
DYNAMIC_INT8: Final = "dynamic-int8"
STATIC_INT8: Final = "static-int8"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to run a network."""

    name: str
    graph: str
    """Name of the ONNX file: several kinds run the same one."""
    runtime: str
    precision: str
    """As `VariantFacts` has it."""

    @property
    def reduced(self) -> bool:
        """It computes in fewer bits than it was trained in."""
        return self.precision != "float32"


_ALL: Final = (
    Kind(FP32, FP32, ONNXRUNTIME, "float32"),
    Kind(DYNAMIC_INT8, DYNAMIC_INT8, ONNXRUNTIME, "int8"),
    Kind(STATIC_INT8, STATIC_INT8, ONNXRUNTIME, "int8"),
    Kind("openvino-fp32", FP32, OPENVINO, "float32"),
    Kind("openvino-fp16", FP32, OPENVINO, "float16"),
    Kind("openvino-bf16", FP32, OPENVINO, "bfloat16"),
    Kind("openvino-int8", STATIC_INT8, OPENVINO, "int8"),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _ALL})
"""By name."""
