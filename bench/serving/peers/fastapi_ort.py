"""FastAPI and ONNX Runtime: raw pixels or a JPEG as the body, decoded and preprocessed by the house's own functions.

Run: python -m bench.serving.peers.fastapi_ort BUNDLE_FOLDER PORT
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from chexpert.bundle.card import CARD, Card
from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.sessions import INPUT, OUTPUT
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import preprocess


def main() -> None:
    """Serve until stopped."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    spec = Card.from_json((folder / CARD).read_text()).preprocess
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cpus()
    # As the product and the bare loop: spinning threads lose a fifth of the throughput with four callers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    app = FastAPI()

    def run(pixels: Any) -> dict[str, list[float]]:
        return {"scores": session.run((OUTPUT,), {INPUT: pixels})[0][0].tolist()}

    def of_jpeg(data: bytes) -> dict[str, list[float]]:
        return run(preprocess(decode(data, target=spec.size), spec)[None, None])

    @app.get("/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, list[float]]:
        pixels = np.frombuffer(await request.body(), np.uint8).reshape(1, 1, spec.size, spec.size)
        return await run_in_threadpool(run, pixels)

    @app.post("/jpeg")
    async def jpeg(request: Request) -> dict[str, list[float]]:
        return await run_in_threadpool(of_jpeg, await request.body())

    uvicorn.run(app, port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main()
