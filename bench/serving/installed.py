"""Peers on request, each in an environment of its own under var/bench/envs: MLServer, and Triton through PyTriton."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.serving.fixtures import SIZE, Fixtures, Served
from bench.serving.ways import READY, Server, Way, grpc_way

from chexpert.serving.client import MODEL

PINS: Final = {
    "mlserver": ("mlserver==1.7.1", "onnxruntime==1.23.2"),
    "triton": ("nvidia-pytriton==0.7.0", "onnxruntime==1.23.2"),
}
"""MLServer and PyTriton hold numpy and protobuf back, and with them ONNX Runtime."""
PEERS: Final = Path(__file__).parent / "peers"


class NotInstallable(Exception):
    """A peer that this machine cannot have, in one line."""


def installed(name: str, served: Served, fixtures: Fixtures) -> tuple[Server, Way]:
    """A peer ready to be started, and the way to ask it.

    Raises:
        NotInstallable: Nobody knows it, or its environment cannot be made.
    """
    if name not in PINS:
        msg = f"no peer is called {name!r}: choose of {', '.join(PINS)}"
        raise NotInstallable(msg)
    folder = _environment(name, fixtures.root.parent / "envs" / name)
    model = str((served.folder / "model.onnx").resolve())
    if name == "triton":
        command = [str(folder / "bin" / "python"), str(PEERS / "triton.py"), model, "{http}", "{grpc}"]
        return Server(name, command, READY), grpc_way("Triton (PyTriton), gRPC raw", name, fixtures.pixels())
    settings = fixtures.root / "mlserver"
    settings.mkdir(exist_ok=True)
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, SIZE, SIZE]}
    facts = {
        "name": MODEL,
        "implementation": "mlserver_model.OnnxModel",
        "parameters": {"uri": model},
        "inputs": [tensor],
    }
    (settings / "model-settings.json").write_text(json.dumps(facts))
    environment = {
        "PYTHONPATH": str(PEERS.resolve()),
        "MLSERVER_HTTP_PORT": "{http}",
        "MLSERVER_GRPC_PORT": "{grpc}",
        "MLSERVER_METRICS_ENDPOINT": "",
        "MLSERVER_PARALLEL_WORKERS": "0",
    }
    server = Server(name, [str(folder / "bin" / "mlserver"), "start", str(settings)], READY, environment)
    return server, grpc_way("MLServer, gRPC raw", name, fixtures.pixels())


def _environment(name: str, folder: Path) -> Path:
    """Made once; the mark says that it was finished, and of what."""
    mark, python = folder / "finished", _python(name)
    made_of = json.dumps([python, *PINS[name]])
    if mark.exists() and mark.read_text() == made_of:
        return folder
    for command in (
        [python, "-m", "venv", "--clear", str(folder)],
        [
            str(folder / "bin" / "pip"),
            "install",
            "--quiet",
            "--no-cache-dir",
            "--disable-pip-version-check",
            *PINS[name],
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- a constant list
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise NotInstallable(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")
    mark.write_text(made_of)
    return folder


def _python(name: str) -> str:
    """PyTriton's backend is linked to the system's libpython, and fails in an environment of another build of it."""
    system = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    return str(system) if name == "triton" and system.exists() else sys.executable
