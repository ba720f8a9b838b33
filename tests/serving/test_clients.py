"""Clients that we did not write, and ours, against one server over both protocols."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from chexpert.bundle.store import BundleRef
from chexpert.domain.observations import OBSERVATIONS
from chexpert.serving.client import PredictorRefused, PredictorUnavailable, V2Client
from chexpert.testing.bundles import draw_pixels

PIXELS = draw_pixels(np.random.default_rng(3), 2, 64)

SDK_CLIENTS = """
import asyncio, json, sys
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

http, grpc_address, shape, data = sys.argv[1], sys.argv[2], *json.load(sys.stdin)

async def ask():
    typed = InferInput(name="pixels", shape=shape, datatype="UINT8", data=data)
    request = InferRequest(model_name="chexpert", request_id="a7", infer_inputs=[typed])
    rest, grpc = InferenceRESTClient(RESTConfig(protocol="v2")), InferenceGRPCClient(url=grpc_address)
    assert await rest.is_model_ready(http, "chexpert")
    answers = [await rest.infer(http, request, model_name="chexpert"), await grpc.infer(request)]
    await rest.close()
    await grpc.close()
    return [(a.id, a.model_version, a.get_output_by_name("scores").as_numpy().tolist()) for a in answers]

print(json.dumps(asyncio.run(ask())))
"""

SDK_IMAGE = """
import asyncio, base64, json, sys
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def ask():
    data = [base64.b64encode(sys.stdin.buffer.read()).decode()]
    request = InferRequest(model_name="chexpert", infer_inputs=[InferInput("image", [1], "BYTES", data)])
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    answer = await client.infer(sys.argv[1], request, model_name="chexpert")
    await client.close()
    return answer.get_output_by_name("scores").as_numpy().tolist()

print(json.dumps(asyncio.run(ask())))
"""


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> ModuleType:
    """One of tritonclient's two halves."""
    return triton(request.param)


def triton(half: str) -> ModuleType:
    # Imported late: its protobuf names are kserve's too, and one process can hold only one of them.
    return importlib.import_module(f"tritonclient.{half}")


@pytest.fixture(scope="module")
def served(start: Callable[..., Any], isvc_text: Callable[..., str], one: BundleRef, two: BundleRef) -> Any:
    """A server with two versions."""
    running = start(isvc_text(("v1", one), ("v2", two, 50)))
    running.wait_weights({"v1": 50, "v2": 50})
    return running


def connect(protocol: ModuleType, served: Any) -> Any:
    address = served.grpc if protocol.__name__.endswith("grpc") else served.http.removeprefix("http://")
    return protocol.InferenceServerClient(address)


def tensor(protocol: ModuleType, name: str, values: Any, datatype: str) -> Any:
    result = protocol.InferInput(name, list(values.shape), datatype)
    result.set_data_from_numpy(values)
    return result


def test_tritonclient_finds_the_model(protocol: ModuleType, served: Any) -> None:
    """Health, readiness of a version, and metadata."""
    with connect(protocol, served) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("chexpert", "v2")
        told = client.get_model_metadata("chexpert")
        versions = told["versions"] if isinstance(told, dict) else list(told.versions)
        assert versions == ["v1", "v2"]


def test_tritonclient_gets_scores_of_pixels(protocol: ModuleType, served: Any) -> None:
    """Raw pixels are answered with 14 scores each, by the version asked, under the id given."""
    with connect(protocol, served) as client:
        pixels = tensor(protocol, "pixels", PIXELS, "UINT8")
        answer = client.infer("chexpert", [pixels], model_version="v2", request_id="a7")
        assert answer.as_numpy("scores").shape == (2, 14)
        assert answer.as_numpy("priority").dtype == np.float32
        assert {flag.decode() for flag in answer.as_numpy("flag")} <= set(OBSERVATIONS)
        told = answer.get_response()
        identity = (told["id"], told["model_version"]) if isinstance(told, dict) else (told.id, told.model_version)
        assert identity == ("a7", "v2")


def test_tritonclient_sends_jpegs_as_they_are(protocol: ModuleType, served: Any, jpeg: bytes, png: bytes) -> None:
    """Encoded images travel as raw BYTES (a stock SDK answers 500), and only what was asked for comes back."""
    with connect(protocol, served) as client:
        images = tensor(protocol, "image", np.array([jpeg, png], dtype=np.object_), "BYTES")
        answer = client.infer("chexpert", [images], outputs=[protocol.InferRequestedOutput("priority")])
        assert answer.as_numpy("priority").shape == (2,)
        assert answer.as_numpy("scores") is None


@pytest.mark.parametrize(
    ("asked", "pixels", "codes"),
    [
        (("other", ""), PIXELS, {"404", "StatusCode.NOT_FOUND"}),
        (("chexpert", "v9"), PIXELS, {"404", "StatusCode.NOT_FOUND"}),
        (("chexpert", ""), PIXELS[:, :, :32, :32], {"400", "StatusCode.INVALID_ARGUMENT"}),
        (("chexpert", ""), PIXELS[:, 0], {"400", "StatusCode.INVALID_ARGUMENT"}),
    ],
)
def test_tritonclient_is_refused_by_the_protocols_codes(
    protocol: ModuleType, served: Any, asked: tuple[str, str], pixels: Any, codes: set[str]
) -> None:
    """Unknown model or version is 404, a wrong shape 400, on gRPC their equivalents."""
    values = tensor(protocol, "pixels", np.ascontiguousarray(pixels), "UINT8")
    with connect(protocol, served) as client, pytest.raises(InferenceServerException) as caught:
        client.infer(asked[0], [values], model_version=asked[1])
    assert caught.value.status() in codes


def test_grpc_repository_is_closed(served: Any) -> None:
    """No caller unloads a model."""
    with connect(triton("grpc"), served) as client:
        with pytest.raises(InferenceServerException, match="InferenceService file alone"):
            client.unload_model("chexpert")
        assert client.is_model_ready("chexpert")


def test_both_protocols_answer_alike(served: Any, jpeg: bytes) -> None:
    """One image has the same scores over REST and gRPC."""
    scores = []
    for protocol in (triton("http"), triton("grpc")):
        with connect(protocol, served) as client:
            images = tensor(protocol, "image", np.array([jpeg], dtype=np.object_), "BYTES")
            scores.append(client.infer("chexpert", [images], model_version="v1").as_numpy("scores"))
    assert scores[0].tolist() == scores[1].tolist()


def test_the_sdks_own_clients_work(served: Any) -> None:
    """The REST client of kserve with JSON, and its gRPC client with typed contents, get the same scores."""
    done = subprocess.run(
        [sys.executable, "-c", SDK_CLIENTS, served.http, served.grpc],
        input=json.dumps([PIXELS.shape, PIXELS.ravel().tolist()]).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    over_rest, over_grpc = json.loads(done.stdout)
    assert (over_rest[0], over_grpc[0]) == ("a7", "a7")
    assert over_grpc[1] in {"v1", "v2"}  # over REST the SDK's client drops the version
    with connect(triton("http"), served) as client:
        pixels = tensor(triton("http"), "pixels", PIXELS, "UINT8")
        ours = [client.infer("chexpert", [pixels], model_version=v).as_numpy("scores").tolist() for v in ("v1", "v2")]
    for _, _, scores in (over_rest, over_grpc):
        assert any(np.allclose(scores, expected) for expected in ours)


def test_our_client_gets_what_the_site_needs(served: Any, jpeg: bytes, png: bytes) -> None:
    """Version, 14 scores, priority and flag per image, in their order; `version` and `shadow` are passed on."""
    with V2Client(served.http) as client:
        both = client.score_images([jpeg, png], version="v2", shadow=True)
        alone = client.score_images([png], version="v2")
    assert [answer.version for answer in both] == ["v2", "v2"]
    assert both[1].scores == pytest.approx(alone[0].scores)
    assert len(both[0].scores) == 14
    assert both[0].flag in OBSERVATIONS
    assert both[0].latency_ms > 0


def test_our_client_says_what_to_do(served: Any, jpeg: bytes) -> None:
    """4xx is the caller's, no connection is to be tried again; both name the address."""
    with V2Client(served.http) as client:
        with pytest.raises(PredictorRefused, match=r"400.*cannot be read") as refused:
            client.score_images([b"no image"])
        assert refused.value.status == 400
        with pytest.raises(PredictorRefused, match="404"):
            client.score_images([jpeg], version="v9")
    with V2Client("http://127.0.0.1:9", timeout_s=2.0) as client:
        with pytest.raises(PredictorUnavailable, match=r"127\.0\.0\.1:9"):
            client.score_images([jpeg])
        assert not client.readiness().ready


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed: the line of docs/clients.md is not tried"
)
def test_the_documented_curl_line_gets_an_answer(served: Any, jpeg: bytes, tmp_path: Path) -> None:
    """What `docs/clients.md` says of curl, word for word but for the port, answers with 14 scores and is no error."""
    text = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
    lines = text.partition("**curl.**")[2].partition("```\n")[2].partition("```")[0]
    assert lines.count("http://127.0.0.1:8801/") == 2
    (tmp_path / "chest.jpg").write_bytes(jpeg)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", lines.replace("http://127.0.0.1:8801", served.http)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told, answer = (json.loads(part) for part in done.stdout.replace("}{", "}\n{").splitlines())
    assert told["versions"] == ["v1", "v2"]
    assert answer["outputs"][0]["shape"] == [1, 14]


def test_the_sdks_rest_client_sends_an_image_as_base64(served: Any, jpeg: bytes) -> None:
    """The same scores as of the raw JPEG."""
    done = subprocess.run(
        [sys.executable, "-c", SDK_IMAGE, served.http],
        input=jpeg,
        capture_output=True,
        check=True,
        timeout=60,
    )
    with connect(triton("http"), served) as client:
        images = tensor(triton("http"), "image", np.array([jpeg], dtype=np.object_), "BYTES")
        ours = [client.infer("chexpert", [images], model_version=v).as_numpy("scores").tolist() for v in ("v1", "v2")]
    assert any(np.allclose(json.loads(done.stdout), expected) for expected in ours)
