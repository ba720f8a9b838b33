"""Runs inside Triton's Python backend, copied as `model.py`: decodes, preprocesses and scores encoded images.

The image needs numpy, onnxruntime and the package chexpert; `triton_python_backend_utils` is Triton's own.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from chexpert.domain.errors import InputError
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import PreprocessSpec, preprocess

__all__ = ["TritonPythonModel"]


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
        """One response per request; an unreadable image fails its own request alone."""
        triton = import_module("triton_python_backend_utils")  # exists only inside Triton

        responses = []
        for request in requests:
            try:
                images = triton.get_input_tensor_by_name(request, "image").as_numpy().reshape(-1)
                scores = triton.Tensor("scores", self._scores(list(images)))
                responses.append(triton.InferenceResponse([scores]))
            except InputError as error:
                responses.append(triton.InferenceResponse([], triton.TritonError(str(error))))
        return responses

    def _scores(self, images: list[bytes]) -> Any:
        pixels = np.stack([preprocess(decode(data, target=self._spec.size), self._spec) for data in images])
        return self._session.run(("scores",), {"pixels": pixels[:, None]})[0]
