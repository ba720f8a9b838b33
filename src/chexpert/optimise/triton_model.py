"""Runs inside Triton's Python backend, copied as `model.py`: decodes, preprocesses and scores encoded images.

The image needs numpy, onnxruntime and the package chexpert; `triton_python_backend_utils` is Triton's own.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chexpert.domain.errors import InputError
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import PreprocessSpec, preprocess

__all__ = ["TritonPythonModel"]

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


class TritonPythonModel:
    """The class that the backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph of this version; `args` are Triton's."""
        import onnxruntime  # noqa: PLC0415 -- in Triton's image

        folder = Path(args["model_repository"]) / args["model_version"]
        facts = json.loads((folder / "facts.json").read_text())
        self._spec = PreprocessSpec.from_dict(facts["preprocess"])
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / facts["graph"]), providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request, in their order; what is wrong with one fails that one alone.

        All readable images go through the graph together: that is what Triton's dynamic batching waits for.
        """
        triton = import_module("triton_python_backend_utils")  # exists only inside Triton

        read = [self._read(triton.get_input_tensor_by_name(request, "image")) for request in requests]
        scored = iter(self._scores([part for part in read if not isinstance(part, Exception)]))
        answers = [part if isinstance(part, Exception) else next(scored) for part in read]
        return [
            triton.InferenceResponse([], triton.TritonError(_told(answer)))
            if isinstance(answer, Exception)
            else triton.InferenceResponse([triton.Tensor("scores", answer)])
            for answer in answers
        ]

    def _read(self, tensor: Any) -> Pixels | Exception:
        """Pixels (n, 1, size, size) of one request, or why there are none: raised on, it would fail its neighbours."""
        try:
            images = [decode(data, target=self._spec.size) for data in tensor.as_numpy().reshape(-1)]
            return np.stack([preprocess(image, self._spec) for image in images])[:, None]
        except Exception as error:  # noqa: BLE001 -- as above
            return error

    def _scores(self, parts: list[Pixels]) -> list[Scores | Exception]:
        """Scores of each part by one run of all; where that fails, by a run each."""
        if not parts:
            return []
        try:
            scores = self._session.run(("scores",), {"pixels": np.concatenate(parts)})[0]
        except Exception as error:  # noqa: BLE001 -- ONNX Runtime's errors share no base class
            return [error] if len(parts) == 1 else [self._scores([part])[0] for part in parts]
        return list(np.split(scores, np.cumsum([len(part) for part in parts])[:-1]))


def _told(error: Exception) -> str:
    """An error of ours tells all by itself."""
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
