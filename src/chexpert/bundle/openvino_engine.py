"""OpenVINO on the CPU: the same ONNX file, in fp16 or bf16 where the processor has them, or in the file's own int8."""

import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from queue import Empty, SimpleQueue
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chexpert.bundle.errors import BrokenBundle, RuntimeUnavailable
from chexpert.bundle.interface import require_interface
from chexpert.domain.observations import OBSERVATIONS

__all__ = ["OpenVinoEngine"]

_RUNTIME: Final = "OpenVINO"
_IMPORT = Lock()
# Precision of the card: what the processor must have, and what OpenVINO computes in between the int8 parts.
_PRECISIONS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = MappingProxyType(
    {
        "float32": (("FP32",), "f32"),
        "float16": (("FP16",), "f16"),
        "bfloat16": (("BF16",), "bf16"),
        "int8": (("INT8",), "f32"),
        "int8-bfloat16": (("INT8", "BF16"), "bf16"),
    },
)


class _Request:
    """One run at a time, over memory that stays where it is: handing OpenVINO an array anew for each took longer."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        pixels: NDArray[np.uint8] = self._request.get_input_tensor().data
        self._pixels = _flat(pixels)
        self._scores: NDArray[np.float32] = self._request.get_output_tensor().data

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (1, 14) of one image."""
        self._pixels[:] = _flat(pixels)
        # Not started and then waited for: that would wake a thread more.
        self._request.infer(share_outputs=True)
        return self._scores.copy()

    def start(self, pixels: NDArray[np.uint8]) -> None:
        """Begin a run."""
        self._pixels[:] = _flat(pixels)
        self._request.start_async()

    def wait(self) -> NDArray[np.float32]:
        """Scores (1, 14) of what was begun, until the next run."""
        self._request.wait()
        return self._scores


class _Compiled:
    """A graph for one image, compiled for a number of streams, with a request for each.

    Several streams have one request more, which waits for the first to be free: without it each stood still until a
    thread of Python had come for its scores and brought the next image.
    """

    def __init__(self, core: Any, graph: Any, options: Mapping[str, Any], streams: int) -> None:
        compiled = core.compile_model(graph, "CPU", {**options, "NUM_STREAMS": str(streams)})
        self.lanes = streams + 1 if streams > 1 else 1
        """Runs at once that keep all threads busy."""
        self._free: SimpleQueue[_Request] = SimpleQueue()
        for _ in range(self.lanes):
            self._free.put(_Request(compiled))

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (n, 14), one image a request; waits for other callers only while it holds no request."""
        return self._one(pixels) if len(pixels) == 1 else self._several(pixels)

    def _one(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = self._free.get()
        try:
            return request.run(pixels)
        finally:
            self._free.put(request)

    def _several(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores = np.empty((len(pixels), len(OBSERVATIONS)), np.float32)
        flying: deque[tuple[_Request, int]] = deque()

        def land() -> _Request:
            request, row = flying.popleft()
            try:
                scores[row] = request.wait()[0]
            except BaseException:
                self._free.put(request)
                raise
            return request

        try:
            for row in range(len(pixels)):
                try:
                    request = self._free.get(block=not flying)
                except Empty:
                    request = land()
                flying.append((request, row))
                request.start(pixels[row])
            while flying:
                self._free.put(land())
        finally:
            for request, _ in flying:
                request.wait()
                self._free.put(request)
        return scores


@dataclass(slots=True)
class OpenVinoEngine:
    """Compiled twice: a lone image gets all threads, images together get one thread each.

    Each image is a run of its own, so that a score does not move with the batch its image is in.
    """

    alone: _Compiled
    together: _Compiled
    lock: Lock
    running: int = 0
    crowded: bool = False
    """The last caller came while another one ran. The next is then one of several too, though it may find none running:
    runs begun together end together."""

    @classmethod
    def open(cls, model: bytes, size: int, *, where: str, threads: int, precision: str) -> "OpenVinoEngine":
        """Compile a graph.

        Raises:
            RuntimeUnavailable: OpenVINO is not installed, or the processor has no instructions for the precision.
            BrokenBundle: The graph cannot be compiled, has another input or output, or its precision is unknown.
        """
        if precision not in _PRECISIONS:
            raise BrokenBundle(where, f"OpenVINO computes in {', '.join(_PRECISIONS)}, not {precision}")
        needed, hint = _PRECISIONS[precision]
        openvino = _imported(where)
        core = openvino.Core()
        capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if missing := [one for one in needed if one not in capable]:
            raise RuntimeUnavailable(
                where, _RUNTIME, f"this processor has {', '.join(capable)}, no {' and no '.join(missing)}"
            )
        try:
            graph = core.read_model(BytesIO(model))
            require_interface(
                {port.any_name: _kind_and_shape(port) for port in (*graph.inputs, *graph.outputs)}, size, where
            )
            graph.reshape([1, 1, size, size])
            options = {
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": hint,
                "ENABLE_CPU_PINNING": False,  # every process would pin to the same first CPUs, and all pods of a node
            }
            alone = _Compiled(core, graph, options, streams=1)
            together = _Compiled(core, graph, options, streams=threads) if threads > 1 else alone
        except RuntimeError as error:
            raise BrokenBundle(where, f"OpenVINO refuses model.onnx: {error}") from error
        return cls(alone, together, Lock())

    @property
    def lanes(self) -> int:
        """Runs at once that keep all threads busy."""
        return self.together.lanes

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (n, 14) of pixels (n, 1, size, size)."""
        with self.lock:
            crowded, self.crowded = self.crowded, self.running > 0
            compiled = self.together if crowded or self.crowded or len(pixels) > 1 else self.alone
            self.running += 1
        try:
            return compiled.run(pixels)
        finally:
            with self.lock:
                self.running -= 1


def _flat(pixels: NDArray[np.uint8]) -> memoryview:
    """Its bytes: numpy would let other threads run during the copy, and getting the interpreter back takes longer."""
    return np.ascontiguousarray(pixels).data.cast("B")


def _kind_and_shape(port: Any) -> tuple[str, list[int]]:
    """Type and lengths behind the batch; -1 for a length that is not fixed."""
    lengths = [length.get_length() if length.is_static else -1 for length in list(port.get_partial_shape())[1:]]
    return str(np.dtype(port.get_element_type().to_dtype())), lengths


def _imported(where: str) -> Any:
    with _IMPORT:
        # OpenVINO's tools report their use to its maker through this package, and do without where it is missing.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        try:
            import openvino  # noqa: PLC0415 -- 178 MB that a bundle for ONNX Runtime must not load
        except ImportError as error:
            raise RuntimeUnavailable(where, _RUNTIME, f"it cannot be imported ({error})") from error
    return openvino
