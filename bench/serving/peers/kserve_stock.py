"""kserve's ModelServer as its documentation shows it: a Model with a synchronous `predict` over ONNX Runtime.

Run: python -m bench.serving.peers.kserve_stock BUNDLE_FOLDER HTTP_PORT GRPC_PORT
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.sessions import INPUT, OUTPUT
from chexpert.serving.client import MODEL


class Stock(Model):
    """One ONNX file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MODEL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cpus()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as every other server here
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.ready = True

    def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        """Scores of the pixels."""
        del headers
        pixels = np.asarray(payload.inputs[0].as_numpy(), np.uint8).reshape(payload.inputs[0].shape)
        scores = self._session.run((OUTPUT,), {INPUT: pixels})[0]
        output = InferOutput(name=OUTPUT, shape=list(scores.shape), datatype="FP32")
        output.set_data_from_numpy(scores, binary_data=False)
        return InferResponse(response_id=payload.id, model_name=MODEL, infer_outputs=[output])


def main() -> None:
    """Serve until stopped."""
    ModelServer(http_port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), workers=1).start([Stock(Path(sys.argv[1]))])


if __name__ == "__main__":
    main()
