"""The variants there are: which graph, by which runtime, computed in what."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from chexpert.bundle.sessions import ONNXRUNTIME, OPENVINO

__all__ = [
    "BFLOAT16",
    "DYNAMIC_INT8",
    "FP32",
    "INPUTS_INT8",
    "KINDS",
    "MIXED_INT8",
    "MIXTURES",
    "STATIC_INT8",
    "Kind",
    "Mixture",
]

FP32: Final = "fp32"
DYNAMIC_INT8: Final = "dynamic-int8"
STATIC_INT8: Final = "static-int8"
INPUTS_INT8: Final = "inputs-int8"
"""Graph of `static_int8` without outputs."""
BFLOAT16: Final = "bf16"
MIXED_INT8: Final = "mixed-int8"
MIXED_INT8_STRICT: Final = "mixed-int8-strict"
MIXED_BFLOAT16: Final = "mixed-int8-bf16"
MIXED_BFLOAT16_STRICT: Final = "mixed-int8-bf16-strict"


@dataclass(frozen=True, slots=True)
class Mixture:
    """As much int8 as the flags bear."""

    share: float
    """Flags that it may be expected to change, of those that the gate lets change. The wider is faster, and may fail on
    few images by chance: then the strict is left."""
    precision: str
    """As `VariantFacts` has it."""


MIXTURES: Final[Mapping[str, Mixture]] = MappingProxyType(
    {
        MIXED_INT8: Mixture(0.4, "int8"),
        MIXED_INT8_STRICT: Mixture(0.2, "int8"),
        MIXED_BFLOAT16: Mixture(0.4, "int8-bfloat16"),
        MIXED_BFLOAT16_STRICT: Mixture(0.2, "int8-bfloat16"),
    }
)
"""By the name of the graph."""


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
    Kind("openvino-bf16", BFLOAT16, OPENVINO, "bfloat16"),
    Kind("openvino-int8", INPUTS_INT8, OPENVINO, "int8"),
    Kind("openvino-mixed", MIXED_INT8, OPENVINO, "int8"),
    Kind("openvino-mixed-bf16", MIXED_BFLOAT16, OPENVINO, "int8-bfloat16"),
    Kind("openvino-mixed-strict", MIXED_INT8_STRICT, OPENVINO, "int8"),
    Kind("openvino-mixed-strict-bf16", MIXED_BFLOAT16_STRICT, OPENVINO, "int8-bfloat16"),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _ALL})
"""By name."""
