"""ONNX Runtime on the CPU."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.interface import INPUT, OUTPUT, require_interface

__all__ = ["OnnxRuntimeEngine", "inference_session"]


@dataclass(frozen=True, slots=True)
class OnnxRuntimeEngine:
    """One session; ONNX Runtime takes calls from several threads itself."""

    inference: Any
    lanes: int = 1
    """A run uses all threads."""

    @classmethod
    def open(cls, model: bytes, size: int, *, where: str, threads: int) -> "OnnxRuntimeEngine":
        """Load a graph; BrokenBundle if it cannot be loaded, or has another input or output."""
        try:
            inference = inference_session(model, threads)
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise BrokenBundle(where, f"ONNX Runtime refuses model.onnx: {error}") from error
        inputs = {i.name: (_KINDS.get(i.type, i.type), i.shape[1:]) for i in inference.get_inputs()}
        outputs = {o.name: (_KINDS.get(o.type, o.type), o.shape[1:]) for o in inference.get_outputs()}
        require_interface({**inputs, **outputs}, size, where)
        return cls(inference)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (n, 14) of pixels (n, 1, size, size)."""
        scores: NDArray[np.float32] = self.inference.run((OUTPUT,), {INPUT: pixels})[0]
        return scores


def inference_session(model: bytes, threads: int) -> Any:
    """Any graph on the CPU, by so many threads; ONNX Runtime's own errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads: 36 ms instead of 42 at one caller, but 21 instead of 27 requests/s at four (2 CPUs).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


_KINDS = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
