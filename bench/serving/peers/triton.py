"""An ONNX file behind Triton's Python backend, by PyTriton. Runs in PyTriton's own environment.

Run: python triton.py MODEL.onnx HTTP_PORT GRPC_PORT
"""

import os
import sys
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main() -> None:
    """Serve until stopped."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    shape = tuple(session.get_inputs()[0].shape[1:])

    @batch
    def infer(pixels: Any) -> list[Any]:
        return [session.run(("scores",), {"pixels": pixels})[0]]

    config = TritonConfig(http_port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), allow_metrics=False)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="chexpert",
            infer_func=infer,
            inputs=[Tensor(name="pixels", dtype=np.uint8, shape=shape)],
            outputs=[Tensor(name="scores", dtype=np.float32, shape=(14,))],
            config=ModelConfig(max_batch_size=8, batcher=DynamicBatcher()),
            strict=True,
        )
        triton.serve()


if __name__ == "__main__":
    main()
