"""An opened bundle: uint8 pixels in, calibrated scores out, by ONNX Runtime on the CPU."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.errors import BrokenBundle, WrongPixels
from chexpert.bundle.graphs import has_external_data
from chexpert.bundle.store import Bundle
from chexpert.domain.observations import OBSERVATIONS

__all__ = ["INPUT", "OUTPUT", "Session", "open_graph", "open_session"]

INPUT: Final = "pixels"
"""Name of the graph's input: uint8 (n, 1, size, size)."""
OUTPUT: Final = "scores"
"""Name of the graph's output: float32 (n, 14)."""


@dataclass(frozen=True, slots=True)
class Session:
    """Answers pixels; safe to call from several threads at once."""

    inference: Any
    size: int
    """Side of the square image in pixels."""
    where: str
    """What errors call it."""

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Calibrated probabilities.

        Args:
            pixels: Shape (n, 1, size, size), preprocessed by the card's spec.

        Returns:
            Shape (n, 14), in the order of OBSERVATIONS.

        Raises:
            WrongPixels: Other shape or type.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (1, self.size, self.size):  # noqa: PLR2004 -- NCHW
            raise WrongPixels(self.size, str(pixels.dtype), pixels.shape)
        scores: NDArray[np.float32] = self.inference.run((OUTPUT,), {INPUT: pixels})[0]
        return scores

    def warm(self) -> None:
        """Answer one grey ramp, so that the first caller does not wait.

        Raises:
            BrokenBundle: The answer holds NaN or lies outside [0, 1].
        """
        ramp = np.linspace(0, 255, self.size, dtype=np.uint8)
        scores = self.run(np.broadcast_to(ramp, (1, 1, self.size, self.size)).copy())
        if not bool(np.all((scores >= 0.0) & (scores <= 1.0))):  # NaN compares false
            raise BrokenBundle(self.where, f"a plain grey ramp is answered with {scores.tolist()}, not probabilities")


def open_session(bundle: Bundle, *, threads: int = 0) -> Session:
    """Open a verified bundle.

    Args:
        bundle: From `store.fetch`.
        threads: Of one run; 0: as many CPUs as affinity mask and cgroup quota allow.

    Raises:
        BrokenBundle: The graph keeps data outside its file, cannot be loaded, or has another input or output.
    """
    return open_graph(bundle.model.read_bytes(), bundle.card.preprocess.size, where=str(bundle.folder), threads=threads)


def open_graph(model: bytes, size: int, *, where: str, threads: int = 0) -> Session:
    """As `open_session`, for a graph that is in no bundle yet."""
    try:
        external = has_external_data(model)
    except ValueError as error:
        raise BrokenBundle(where, f"model.onnx is no ONNX file ({error})") from error
    if external:
        raise BrokenBundle(where, "model.onnx keeps tensors in other files, which no digest holds")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cpus()
    options.inter_op_num_threads = 1
    # Spinning threads: 36 ms instead of 42 at one caller, but 21 instead of 27 requests/s at four (2 CPUs).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        inference = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise BrokenBundle(where, f"ONNX Runtime refuses model.onnx: {error}") from error
    _require_interface(inference, size, where)
    return Session(inference, size, where)


def _require_interface(inference: Any, size: int, where: str) -> None:
    found = {
        **{i.name: (i.type, i.shape[1:]) for i in inference.get_inputs()},
        **{o.name: (o.type, o.shape[1:]) for o in inference.get_outputs()},
    }
    expected = {INPUT: ("tensor(uint8)", [1, size, size]), OUTPUT: ("tensor(float)", [len(OBSERVATIONS)])}
    if found != expected:
        raise BrokenBundle(where, f"model.onnx has {found}, expected {expected}")
