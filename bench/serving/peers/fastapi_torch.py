"""FastAPI and torch eager with JSON, the usual first server: pixels as nested lists, one request at a time per thread.

Run: python -m bench.serving.peers.fastapi_torch NETWORK_FOLDER PORT
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from chexpert.evaluation.calibration import Platt
from chexpert.networks.store import load
from chexpert.optimise.export import Served


class Ask(BaseModel):
    """One image."""

    pixels: list[list[int]]
    """Grey levels, row by row."""


def main() -> None:
    """Serve until stopped."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    platt = Platt.from_dict(json.loads((folder / "calibration.json").read_text()))
    model = Served(load(str(folder)), platt).eval()
    app = FastAPI()

    @app.get("/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/predict")
    def predict(ask: Ask) -> dict[str, list[float]]:
        pixels = torch.from_numpy(np.array(ask.pixels, np.uint8)[None, None])
        with torch.inference_mode():
            return {"scores": model(pixels)[0].tolist()}

    uvicorn.run(app, port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main()
