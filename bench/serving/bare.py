"""A run loop without any server: the limit of the machine for one variant.

`bundle` opens the bundle as the server does; `alone` has every run take all threads, one run after the other, as one
session of ONNX Runtime does; `spinning` leaves ONNX Runtime's threads spinning, which is its default.

Run: python -m bench.serving.bare FOLDER PIXELS.npy CONCURRENCY SECONDS bundle|alone|spinning
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.openvino_engine import OpenVinoEngine
from chexpert.bundle.sessions import INPUT, OUTPUT, open_session
from chexpert.bundle.store import fetch

from .client import WARM_UP

Run = Callable[[Any], Any]


def main() -> None:
    """Time the loop of the command line and print it as the client prints."""
    folder, pixels, concurrency, seconds, how = sys.argv[1:]
    loaded = np.load(pixels)
    run = opened(Path(folder), how)
    latencies: list[list[float]] = [[] for _ in range(int(concurrency))]
    ready = threading.Barrier(len(latencies) + 1)

    def loop(number: int) -> None:
        for _ in range(WARM_UP):
            run(loaded[:1])
        ready.wait()
        until, turn = time.perf_counter() + float(seconds), number
        while time.perf_counter() < until:
            at, turn = turn % len(loaded), turn + 1
            started = time.perf_counter()
            run(loaded[at : at + 1])
            latencies[number].append(1000.0 * (time.perf_counter() - started))

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(len(latencies))]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed_s = time.perf_counter() - started
    print(json.dumps({"latencies_ms": [one for part in latencies for one in part], "elapsed_s": elapsed_s}))


def opened(folder: Path, how: str) -> Run:
    """What answers uint8 pixels (n, 1, H, W) with scores (n, 14)."""
    if how in {"bundle", "alone"}:
        session = open_session(fetch(str(folder), None, folder))
        # Of the engines only OpenVINO's runs images beside each other.
        by_itself = how == "alone" and isinstance(session.engine, OpenVinoEngine)
        return session.engine.alone.run if by_itself else session.run
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cpus()
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run((OUTPUT,), {INPUT: pixels})[0]


if __name__ == "__main__":
    main()
