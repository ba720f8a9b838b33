"""V2 over REST as any HTTP client sees it."""

import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from chexpert.bundle.store import BundleRef
from chexpert.domain.observations import OBSERVATIONS
from chexpert.serving.tensors import decode_fixed, encode_bytes

SIZE = 64
LIMIT = 64 * 2**20


@pytest.fixture(scope="module")
def http(
    start: Callable[..., Any], isvc_text: Callable[..., str], one: BundleRef, two: BundleRef
) -> Iterator[httpx.Client]:
    """A client of a server with a stable at 90 % and a canary at 10 %."""
    served = start(isvc_text(("v1", one), ("v2", two, 10)))
    served.wait_weights({"v1": 90, "v2": 10})
    with httpx.Client(base_url=served.http) as client:
        yield client
    assert served.stop() == 0


def pixels(count: int = 1, value: int = 100) -> dict[str, Any]:
    data = np.full((count, 1, SIZE, SIZE), value).ravel().tolist()
    return {"name": "pixels", "datatype": "UINT8", "shape": [count, 1, SIZE, SIZE], "data": data}


def images(*data: bytes) -> dict[str, Any]:
    elements = [b64encode(element).decode() for element in data]
    return {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": elements}


def infer(http: httpx.Client, *inputs: Any, path: str = "", **rest: Any) -> httpx.Response:
    return http.post(f"/v2/models/chexpert{path}/infer", json={"inputs": list(inputs), **rest})


def values(answer: httpx.Response, name: str) -> Any:
    return next(output["data"] for output in answer.json()["outputs"] if output["name"] == name)


def test_health_and_metadata(http: httpx.Client) -> None:
    """Live, ready, and metadata with the real names, datatypes, shapes and versions."""
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/chexpert/ready"):
        assert http.get(path).status_code == 200
    assert http.get("/v2/models/chexpert/versions/v2/ready").json() == {"name": "chexpert", "ready": True}
    assert http.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    told = http.get("/v2/models/chexpert").json()
    assert told["versions"] == ["v1", "v2"]
    assert told["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, SIZE, SIZE]},
    ]
    assert told["outputs"] == [
        {"name": "scores", "datatype": "FP32", "shape": [-1, 14]},
        {"name": "priority", "datatype": "FP32", "shape": [-1]},
        {"name": "flag", "datatype": "BYTES", "shape": [-1]},
    ]
    assert http.get("/v2/models/chexpert/versions/v2").json()["versions"] == ["v2"]


def test_an_answer_has_all_outputs_the_id_and_the_version(http: httpx.Client) -> None:
    """14 probabilities, a priority and a flag per image; id echoed; version in the body and in the header."""
    answer = infer(http, pixels(2), path="/versions/v2", id="a7")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["model_name"], body["model_version"]) == ("a7", "chexpert", "v2")
    assert answer.headers["x-model-version"] == "v2"
    assert [(o["name"], o["datatype"], o["shape"]) for o in body["outputs"]] == [
        ("scores", "FP32", [2, 14]),
        ("priority", "FP32", [2]),
        ("flag", "BYTES", [2]),
    ]
    assert all(0.0 <= score <= 1.0 for score in values(answer, "scores"))
    assert set(values(answer, "flag")) <= set(OBSERVATIONS)


def test_a_flag_is_empty_where_nothing_is_above_its_point(http: httpx.Client) -> None:
    """The stable's operating points are out of reach, so it flags nothing; the canary's flag everything."""
    assert values(infer(http, pixels(), path="/versions/v1"), "flag") == [""]
    assert values(infer(http, pixels(), path="/versions/v2"), "flag") != [""]


def test_ten_requests_split_exactly(http: httpx.Client) -> None:
    """At 10 % one of each ten requests is the canary's."""
    seen = [infer(http, pixels()).headers["x-model-version"] for _ in range(30)]
    assert seen.count("v2") == 3


def test_only_requested_outputs_come(http: httpx.Client) -> None:
    """`outputs` names what is answered, in that order."""
    body = infer(http, pixels(), outputs=[{"name": "flag"}, {"name": "priority"}]).json()
    assert [output["name"] for output in body["outputs"]] == ["flag", "priority"]


def test_an_image_gets_the_scores_of_its_pixels_in_every_form(http: httpx.Client, jpeg: bytes) -> None:
    """JSON base64 and raw binary of one JPEG are answered alike."""
    plain = values(infer(http, images(jpeg), path="/versions/v1"), "scores")
    raw = encode_bytes([jpeg])
    header = json.dumps(
        {
            "inputs": [
                {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
            ],
            "outputs": [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "priority"}],
        },
    ).encode()
    answer = http.post(
        "/v2/models/chexpert/versions/v1/infer",
        content=header + raw,
        headers={"Inference-Header-Content-Length": str(len(header))},
    )
    assert answer.status_code == 200, answer.text
    split = int(answer.headers["inference-header-content-length"])
    body = json.loads(answer.content[:split])
    assert body["outputs"][0]["parameters"] == {"binary_data_size": 56}
    assert len(body["outputs"][1]["data"]) == 1
    assert decode_fixed("scores", "FP32", [14], answer.content[split:]) == pytest.approx(plain)


@pytest.mark.parametrize("shape", [[1, 1, 2**32, 2**32], [1, 1, 2**62, 4], [1, 1, 0, 64]])
def test_a_binary_tensor_of_no_bytes_is_refused_whatever_its_shape(http: httpx.Client, shape: list[int]) -> None:
    """A product of sides that is 0 modulo 2**64 is not taken for the 0 bytes that came."""
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": shape, "parameters": {"binary_data_size": 0}}
    header = json.dumps({"inputs": [tensor]}).encode()
    answer = http.post(
        "/v2/models/chexpert/infer", content=header, headers={"Inference-Header-Content-Length": str(len(header))}
    )
    assert answer.status_code == 400
    assert "shape" in answer.json()["error"]


def test_requests_without_content_type_are_read(http: httpx.Client) -> None:
    """Other people's clients send none; JSON and binary are told apart by the length header."""
    body = json.dumps({"inputs": [pixels()]}).encode()
    request = http.build_request("POST", "/v2/models/chexpert/infer", content=body)
    assert "content-type" not in request.headers
    assert http.send(request).status_code == 200


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": [1, 1, 32, 32], "data": [0] * 1024}, "32x32"),
        ({"shape": [2, 1, SIZE, SIZE]}, "whole numbers"),
        ({"shape": [1, 3, SIZE, SIZE]}, "shape"),
        ({"shape": [0, 1, SIZE, SIZE], "data": []}, "shape"),
        ({"shape": [-1, 1, SIZE, SIZE]}, "shape"),
        ({"shape": [1, 1, -SIZE, -SIZE]}, "shape"),
        ({"shape": [1, 1, 2**62, 4]}, "whole numbers"),
        ({"shape": [1, 1, 2**63, 1]}, "whole numbers"),
        ({"shape": "many"}, "shape"),
        ({"datatype": "FP32"}, "FP32"),
        ({"name": "x"}, "'x'"),
        ({"data": [256] * SIZE * SIZE}, "0..255"),
        ({"data": [0.5] * SIZE * SIZE}, "whole numbers"),
        ({"data": [[1, 2], [3]]}, "unevenly"),
        ({"data": None}, "either data"),
    ],
)
def test_a_wrong_tensor_is_a_400_that_says_why(http: httpx.Client, changes: dict[str, Any], says: str) -> None:
    """Names, datatypes, shapes and values are checked; the error is the protocol's."""
    answer = infer(http, {**pixels(), **changes})
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b"[]", {}),
        (b"", {}),
        (b'{"inputs": 1}', {}),
        (b'{"inputs": [1]}', {}),
        (b'{"inputs": []}', {}),
        (b'{"inputs": []}', {"Inference-Header-Content-Length": "99"}),
        (b'{"inputs": []}', {"Inference-Header-Content-Length": "-1"}),
        (b'{"inputs": []}', {"Inference-Header-Content-Length": "1" * 5000}),
        (b'{"inputs": []}zz', {"Inference-Header-Content-Length": "14"}),
        (b"\xff\xd8\xff", {"Content-Type": "image/jpeg"}),
    ],
)
def test_a_broken_body_is_a_400(http: httpx.Client, body: bytes, headers: dict[str, str]) -> None:
    """Nothing that cannot be parsed reaches a model, and nothing is a 422 or a 500."""
    answer = http.post("/v2/models/chexpert/infer", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}


def test_bytes_that_are_no_image_are_a_400_with_their_version(http: httpx.Client) -> None:
    """An unreadable image is the caller's fault; the version that looked at it is still named."""
    answer = infer(http, images(b"not an image"), path="/versions/v1")
    assert (answer.status_code, answer.headers["x-model-version"]) == (400, "v1")
    assert "cannot be read" in answer.json()["error"]
    assert infer(http, {**images(b""), "data": ["%%%"]}).status_code == 400


def test_unknown_outputs_and_parameters_of_a_wrong_kind_are_refused(http: httpx.Client) -> None:
    """An output that does not exist and a shadow that is no boolean are 400."""
    assert infer(http, pixels(), outputs=[{"name": "heatmap"}]).status_code == 400
    listed = infer(http, pixels(), outputs=[{"name": "scores", "parameters": [1]}])
    assert (listed.status_code, "'scores'" in listed.json()["error"]) == (400, True)
    assert infer(http, pixels(), parameters={"shadow": "yes"}).status_code == 400


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/chexpert/versions/v9", "/v2/models/chexpert/versions/v9/ready"]
)
def test_unknown_models_and_versions_are_404(http: httpx.Client, path: str) -> None:
    """What is not served is not there, for metadata, readiness and inference."""
    assert http.get(path).status_code == 404
    assert "error" in http.post(f"{path.removesuffix('/ready')}/infer", content=b"{}").json()


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_nobody_loads_or_unloads_models(http: httpx.Client, verb: str) -> None:
    """The SDK's repository routes are closed, and the model stays."""
    answer = http.post(f"/v2/repository/models/chexpert/{verb}")
    assert (answer.status_code, answer.json().keys()) == (404, {"error"})
    assert http.get("/v2/models/chexpert/ready").status_code == 200


def test_a_body_over_the_limit_is_refused_unread(http: httpx.Client) -> None:
    """413 from the announced length alone, before a byte of it is sent; too many images are 413 as well."""
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), timeout=10) as raw:
        raw.sendall(
            f"POST /v2/models/chexpert/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT + 1}\r\n\r\n".encode()
        )
        assert raw.recv(64).startswith(b"HTTP/1.1 413 ")
    tiny = {"name": "image", "datatype": "BYTES", "shape": [65], "data": [""] * 65}
    assert infer(http, tiny).status_code == 413


def test_wrong_methods_and_paths_answer_by_the_protocol(http: httpx.Client) -> None:
    """Also what the router refuses is {"error": …}."""
    for answer in (http.get("/v2/models/chexpert/infer"), http.get("/nowhere")):
        assert answer.status_code in {404, 405}
        assert answer.json().keys() == {"error"}


def test_metrics_tell_versions_apart(http: httpx.Client) -> None:
    """Requests and latency carry the version; shadows are counted on their own and time nothing."""
    infer(http, pixels(), path="/versions/v1")
    infer(http, pixels(), path="/versions/v2", parameters={"shadow": True})
    text = http.get("/metrics").text
    assert 'chexpert_requests_total{outcome="ok",shadow="true",version="v2"} 1.0' in text
    assert 'chexpert_stage_seconds_count{stage="total",version="v1"}' in text
    assert 'chexpert_traffic_percent{version="v2"} 10.0' in text
    assert "chexpert_following_file 1.0" in text
