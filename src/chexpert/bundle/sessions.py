"""An opened bundle: uint8 pixels in, calibrated scores out, by the runtime that its card names, on the CPU."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.errors import BrokenBundle, WrongPixels
from chexpert.bundle.graphs import tensors
from chexpert.bundle.interface import INPUT, OUTPUT
from chexpert.bundle.onnxruntime_engine import OnnxRuntimeEngine
from chexpert.bundle.openvino_engine import OpenVinoEngine
from chexpert.bundle.store import Bundle

__all__ = ["INPUT", "ONNXRUNTIME", "OPENVINO", "OUTPUT", "Engine", "Session", "open_graph", "open_session"]

ONNXRUNTIME: Final = "onnxruntime"
OPENVINO: Final = "openvino"


class Engine(Protocol):
    """A loaded graph; several threads may call it at once."""

    @property
    def lanes(self) -> int:
        """Runs at once that keep all threads busy; 1: a run uses them all by itself."""

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (n, 14) of pixels (n, 1, size, size)."""


@dataclass(frozen=True, slots=True)
class Session:
    """Answers pixels; safe to call from several threads at once."""

    engine: Engine
    size: int
    """Side of the square image in pixels."""
    where: str
    """What errors call it."""

    @property
    def lanes(self) -> int:
        """Runs at once that keep all threads busy; 1: a run uses them all by itself."""
        return self.engine.lanes

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
        return self.engine.run(pixels)

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
        BrokenBundle: The graph was replaced since it was verified, keeps data outside its file, holds NaN or infinity,
            cannot be loaded, or has another input or output.
        RuntimeUnavailable: This machine lacks the runtime or the instructions of the bundle's variant.
    """
    variant = bundle.card.variant
    return open_graph(
        bundle.read_model(),
        bundle.card.preprocess.size,
        where=str(bundle.folder),
        threads=threads,
        runtime=variant.runtime,
        precision=variant.precision,
    )


def open_graph(
    model: bytes,
    size: int,
    *,
    where: str,
    threads: int = 0,
    runtime: str = ONNXRUNTIME,
    precision: str = "float32",
) -> Session:
    """As `open_session`, for a graph that is in no bundle yet; `runtime` and `precision` as `VariantFacts` has them."""
    _require_sound(model, where)
    count = threads or available_cpus()
    if runtime == ONNXRUNTIME:
        return Session(OnnxRuntimeEngine.open(model, size, where=where, threads=count), size, where)
    if runtime == OPENVINO:
        engine = OpenVinoEngine.open(model, size, where=where, threads=count, precision=precision)
        return Session(engine, size, where)
    raise BrokenBundle(where, f"its card names the runtime {runtime!r}, not {ONNXRUNTIME} or {OPENVINO}")


def _require_sound(model: bytes, where: str) -> None:
    """Every tensor lies in the file, and is finite where it is of floats.

    No answer shows the second: OpenVINO's ReLU and MaxPool make a number of NaN, and a wrong score of a broken weight.
    """
    try:
        for tensor in tensors(model):
            if tensor.external:
                raise BrokenBundle(where, "model.onnx keeps tensors in other files, which no digest holds")
            if not tensor.finite:
                raise BrokenBundle(where, f"model.onnx holds NaN or infinity in {tensor.name}")
    except ValueError as error:
        raise BrokenBundle(where, f"model.onnx is no ONNX file ({error})") from error
