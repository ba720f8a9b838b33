"""Real servers over real sockets, shared by the tests of one module: importing the SDK takes seconds."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from chexpert.bundle.store import BundleRef
from chexpert.serving.client import V2Client
from chexpert.serving.inference_log import table_to_columns
from chexpert.testing import bundles

START_S = 60.0
PROGRAM = "from chexpert.cli.serve import app; app()"

HEADER = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: chexpert
  annotations:
    serving.kserve.io/deploymentMode: Standard
    serving.kserve.io/autoscalerClass: none
spec:
"""

PREDICTOR = """\
predictor:
  name: {name}
  minReplicas: 1
  model:
    modelFormat:
      name: chexpert
    runtime: chexpert-0-1-0
    protocolVersion: v2
    storageUri: {uri}
    env:
    - name: CHEXPERT_VERSION
      value: {name}
    - name: CHEXPERT_BUNDLE_DIGEST
      value: {digest}
"""


@dataclass
class Served:
    """A running server."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    manifest: Path
    objects: Path
    log: Path
    """What it said on standard error."""
    access: Path
    """Its standard output: the access log."""

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def stop_under(self, callers: int, ask: Callable[[], None]) -> int:
        """SIGTERM a second after so many threads began to `ask`, which returns once nobody answers; the exit code."""
        threads = [threading.Thread(target=ask) for _ in range(callers)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        code = self.stop()
        for thread in threads:
            thread.join()
        return code

    def logged(self, version: str) -> dict[str, Any]:
        """Columns of the inference log of a version."""
        parts = [str(part) for part in (self.objects / "log").glob(f"*/{version}/*.parquet")]
        return table_to_columns(pq.read_table(parts))

    def wait(self, reached: Callable[[V2Client], bool], what: str) -> None:
        """Until `reached`; fails with the server's own words."""
        with V2Client(self.http) as client:
            until = time.monotonic() + START_S
            while time.monotonic() < until:
                if reached(client):
                    return
                time.sleep(0.05)
        pytest.fail(f"{what} not reached; the server said:\n{self.log.read_text()}")

    def put(self, text: str) -> None:
        """Replace the served file as git does: another file under the same name."""
        partial = self.manifest.with_suffix(".new")
        partial.write_text(text)
        partial.replace(self.manifest)

    def wait_weights(self, weights: dict[str, int]) -> None:
        """Until exactly this is served."""
        self.wait(lambda client: client.readiness().ready and client.metadata().weights == weights, str(weights))


def indent(text: str, by: str) -> str:
    return "".join(f"{by}{line}\n" for line in text.splitlines())


@pytest.fixture(scope="session")
def isvc_text() -> Callable[..., str]:
    """Text of a served file: stable (name, bundle), then canaries (name, bundle, percent)."""

    def write(stable: tuple[str, BundleRef] | None, *canaries: tuple[str, BundleRef, int]) -> str:
        if stable is None:
            return HEADER + "  predictor: {}\n"
        text = HEADER + indent(PREDICTOR.format(name=stable[0], uri=stable[1].uri, digest=stable[1].digest), "  ")
        if canaries:
            text += "  canary:\n"
        for name, ref, percent in canaries:
            entry = PREDICTOR.format(name=name, uri=ref.uri, digest=ref.digest)
            text += f"  - trafficPercent: {percent}\n" + indent(entry, "    ")
        return text

    return write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Objects root of the module."""
    return tmp_path_factory.mktemp("objects")


@pytest.fixture(scope="module")
def one(folder: Path) -> BundleRef:
    """A bundle that flags nothing."""
    return bundles.tiny(f"{folder}/bundles", seed=1, operating_point=1.1)


@pytest.fixture(scope="module")
def two(folder: Path) -> BundleRef:
    """Another, that flags everything."""
    return bundles.tiny(f"{folder}/bundles", seed=2, operating_point=0.0)


@pytest.fixture(scope="module")
def start(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Start servers; all are ended with the module."""
    running: list[Served] = []

    def start_one(
        text: str,
        *arguments: str,
        program: Sequence[str] = ("-c", PROGRAM),
        environment: Mapping[str, str] | None = None,
    ) -> Served:
        home = tmp_path_factory.mktemp("server")
        manifest, run_file = home / "isvc.yaml", home / "run.json"
        log, access = home / "server.log", home / "access.jsonl"
        manifest.write_text(text)
        with log.open("wb") as errors, access.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, *program),
                    *(f"--manifest={manifest}", f"--objects={folder}", f"--run-file={run_file}"),
                    *("--port=0", "--grpc-port=0", *arguments),
                ],
                stdout=output,
                stderr=errors,
                env={**os.environ, **(environment or {})},
            )
        until = time.monotonic() + START_S
        while not run_file.exists():
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                pytest.fail(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.05)
        ports = json.loads(run_file.read_text())
        assert ports["pid"] == process.pid
        served = Served(
            process,
            f"http://127.0.0.1:{ports['http']}",
            f"127.0.0.1:{ports['grpc']}",
            manifest,
            folder,
            log,
            access,
        )
        running.append(served)
        return served

    yield start_one
    for served in running:
        if served.process.poll() is None:
            served.process.kill()
            served.process.wait()


def encoded(seed: int, form: str) -> bytes:
    pixels = bundles.draw_pixels(np.random.default_rng(seed), 1, 256)[0, 0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """A JPEG, which is no UTF-8 text."""
    return encoded(1, "JPEG")


@pytest.fixture(scope="session")
def png() -> bytes:
    """A PNG of another picture."""
    return encoded(2, "PNG")
