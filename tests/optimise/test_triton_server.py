"""Triton itself, as PyTriton's wheel carries it, answers from a written repository."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as client
from PIL import Image as Pillow
from tritonclient.utils import InferenceServerException

import chexpert
from chexpert.bundle.sessions import open_session
from chexpert.bundle.store import Bundle, fetch
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import preprocess
from chexpert.optimise.triton import GRAPH_MODEL, IMAGE_MODEL, write_repository
from chexpert.testing.bundles import tiny

PINS = ("nvidia-pytriton==0.7.0", "onnxruntime==1.23.2", "pillow==13.0.0", "pydicom==3.0.2")
SPOILT = "spoilt"
FOLDER = os.environ.get("CHEXPERT_TRITON", "")
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not FOLDER, reason="CHEXPERT_TRITON names no folder to install Triton into (300 MB, minutes): it is not run"
    ),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles")
    return fetch(tiny(str(folder)).uri, None, folder)


@pytest.fixture(scope="module")
def site() -> Path:
    """Packages of an environment that holds Triton."""
    env = Path(FOLDER) / "env"
    mark = env / "finished"
    if not mark.exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(env)],
            [str(env / "bin" / "pip"), "install", "--quiet", "--no-cache-dir", *PINS],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"Triton cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
        mark.touch()
    (packages,) = (env / "lib").glob("python*/site-packages")
    return packages


@pytest.fixture(scope="module")
def triton(
    bundle: Bundle, site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[client.InferenceServerClient]:
    folder = tmp_path_factory.mktemp("triton")
    write_repository(bundle, folder / "models")
    # PyTriton's Triton has the Python backend alone: it reads the graph's model and cannot serve it.
    spoilt = folder / "models" / SPOILT
    shutil.copytree(folder / "models" / GRAPH_MODEL, spoilt)
    config = (spoilt / "config.pbtxt").read_text()
    (spoilt / "config.pbtxt").write_text(config.replace(GRAPH_MODEL, SPOILT).replace("TYPE_UINT8", "TYPE_GREY"))
    home = site / "pytriton" / "tritonserver"
    backends = folder / "backends"
    shutil.copytree(home / "backends", backends)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = backends / "python" / "triton_python_backend_stub"
    shutil.copy(home / "python_backend_stubs" / python / stub.name, stub)
    stub.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(home / "bin" / "tritonserver"),
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={backends}",
        "--exit-on-error=false",
        "--allow-http=false",
        "--allow-metrics=false",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
    ]
    libraries = f"{site / 'nvidia_pytriton.libs'}:{sys.base_prefix}/lib:{os.environ.get('LD_LIBRARY_PATH', '')}"
    # The backend's processes find packages by the first python3 of PATH and never read PYTHONPATH.
    (site / "chexpert-source.pth").write_text(str(Path(chexpert.__file__).parents[1]))
    path = f"{Path(FOLDER) / 'env' / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LD_LIBRARY_PATH": libraries}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    asking = client.InferenceServerClient(f"127.0.0.1:{port}")
    try:
        for _ in range(240):
            if server.poll() is not None:
                pytest.fail(f"Triton ended: {(folder / 'log').read_text()[-3000:]}")
            try:
                if asking.is_model_ready(IMAGE_MODEL):
                    break
            except InferenceServerException:
                pass
            time.sleep(0.5)
        else:
            pytest.fail(f"Triton is not ready: {(folder / 'log').read_text()[-3000:]}")
        yield asking
    finally:
        asking.close()
        server.terminate()
        server.wait(timeout=60)


def ask(triton: client.InferenceServerClient, data: bytes) -> np.ndarray:
    image = client.InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[data]], dtype=object))
    return triton.infer(IMAGE_MODEL, [image]).as_numpy("scores")


def test_triton_answers_as_our_session(triton: client.InferenceServerClient, bundle: Bundle) -> None:
    """The same JPEG is answered with the same scores, to 1e-5."""
    buffer = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (300, 260), dtype=np.uint8)
    Pillow.fromarray(noise).save(buffer, "JPEG")
    spec = bundle.card.preprocess
    pixels = preprocess(decode(buffer.getvalue(), target=spec.size), spec)[None, None]
    np.testing.assert_allclose(ask(triton, buffer.getvalue()), open_session(bundle).run(pixels), atol=1e-5)


def test_triton_refuses_what_is_no_image(triton: client.InferenceServerClient) -> None:
    """Its own request fails with the reason; the server goes on."""
    with pytest.raises(InferenceServerException, match="neither PNG, JPEG nor DICOM"):
        ask(triton, b"no image")
    assert triton.is_model_ready(IMAGE_MODEL)


def test_triton_reads_the_config_of_the_onnx_runtime_backend(triton: client.InferenceServerClient) -> None:
    """It gets as far as the backend that it lacks; a config with an unknown type does not get there."""
    reasons = {model.name: model.reason for model in triton.get_model_repository_index().models}
    assert "onnxruntime" in reasons[GRAPH_MODEL]
    assert "onnxruntime" not in reasons.get(SPOILT, "")
