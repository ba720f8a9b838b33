"""An ONNX file behind MLServer, in its process. Runs in MLServer's own environment, without the house's packages."""

import os

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class OnnxModel(MLModel):
    """`parameters.uri` is the file."""

    async def load(self) -> bool:
        """Open the file with as many threads as CPUs."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        uri = self.settings.parameters.uri
        self._session = onnxruntime.InferenceSession(uri, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Scores of the pixels."""
        tensor = payload.inputs[0]
        data = tensor.data.root
        flat = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.asarray(data, np.uint8)
        scores = self._session.run(("scores",), {"pixels": flat.reshape(tensor.shape)})[0]
        output = ResponseOutput(name="scores", shape=list(scores.shape), datatype="FP32", data=scores.ravel().tolist())
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
