"""The Open Inference Protocol's own files as oracle.

`oip/` holds OpenAPI and proto of github.com/kserve/open-inference-protocol at commit d49cc23 (Apache 2.0), unchanged.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from jsonschema import Draft4Validator

from chexpert.bundle.sessions import OPENVINO
from chexpert.bundle.store import BundleRef, fetch, write
from chexpert.testing.bundles import draw_pixels

OIP = Path(__file__).parent / "oip"
DOCUMENT = yaml.safe_load((OIP / "open_inference_rest.yaml").read_text())
PIXELS = draw_pixels(np.random.default_rng(3), 2, 64)
RAW = PIXELS.tobytes()

LACKING = {
    "InferParameter.double_param",
    "InferParameter.uint64_param",
    "ModelMetadataResponse.properties",
    "ModelMetadataResponse.PropertiesEntry.key",
    "ModelMetadataResponse.PropertiesEntry.value",
}
"""What kserve 0.21 does not know; a newer one fails here and is shortened then."""
SDKS = """
import sys
from kserve.protocol.grpc import grpc_predict_v2_pb2
sys.stdout.buffer.write(grpc_predict_v2_pb2.DESCRIPTOR.serialized_pb)
"""
"""Run elsewhere: messages of kserve and of tritonclient have one name, and a process takes only those of one."""


@pytest.fixture(scope="module")
def http(start: Callable[..., Any], isvc_text: Callable[..., str], one: BundleRef) -> Iterator[httpx.Client]:
    """A client of a server with one version."""
    served = start(isvc_text(("v1", one)))
    served.wait_weights({"v1": 100})
    with httpx.Client(base_url=served.http) as client:
        yield client


def path_of(template: str) -> str:
    return template.replace("${MODEL_NAME}", "chexpert").replace("${MODEL_VERSION}", "v1")


def validator(schema: dict[str, Any]) -> Draft4Validator:
    return Draft4Validator({**schema, "components": DOCUMENT["components"]})


def request(outputs: list[dict[str, Any]]) -> bytes:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(PIXELS.shape)}
    header = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(RAW)}}], "outputs": outputs}
    return json.dumps(header).encode()


def ask(http: httpx.Client, outputs: list[dict[str, Any]]) -> tuple[dict[str, Any], bytes]:
    """JSON of the answer, and the binary tensors behind it."""
    header = request(outputs)
    length = {"inference-header-content-length": str(len(header))}
    answer = http.post("/v2/models/chexpert/infer", content=header + RAW, headers=length)
    assert answer.status_code == 200, answer.text
    at = int(answer.headers.get("inference-header-content-length", len(answer.content)))
    return json.loads(answer.content[:at]), answer.content[at:]


@pytest.mark.parametrize("template", [path for path, item in DOCUMENT["paths"].items() if "get" in item])
def test_every_get_answers_by_its_schema(http: httpx.Client, template: str) -> None:
    """Each path of the document is there, and its body is what the document says."""
    answer = http.get(path_of(template))
    assert answer.status_code == 200
    described = DOCUMENT["paths"][template]["get"]["responses"]["200"].get("content", {})
    for media in described.values():
        validator(media["schema"]).validate(answer.json())


def test_the_platform_is_the_runtime_of_the_version(
    start: Callable[..., Any], isvc_text: Callable[..., str], folder: Path, one: BundleRef
) -> None:
    """ONNX Runtime's and OpenVINO's bundles are told apart by the names that Triton has for them."""
    bundle = fetch(one.uri, one.digest, folder / "cache")
    card = replace(bundle.card, variant=replace(bundle.card.variant, runtime=OPENVINO))
    files = {name: Path(one.uri, name).read_bytes() for name in bundle.card.files}
    served = start(isvc_text(("v1", one), ("v2", write(f"{folder}/bundles", card, files), 0)))
    served.wait_weights({"v1": 100, "v2": 0})
    url = f"{served.http}/v2/models/chexpert"
    told = [httpx.get(f"{url}{version}").json()["platform"] for version in ("", "/versions/v1", "/versions/v2")]
    assert told == ["onnxruntime_onnx", "onnxruntime_onnx", "openvino"]


def test_inference_answers_by_its_schema(http: httpx.Client) -> None:
    """A request that the document allows gets a response, and a wrong one an error, both as the document says."""
    template = next(path for path in DOCUMENT["paths"] if path.endswith("/infer"))
    post = DOCUMENT["paths"][template]["post"]
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(PIXELS.shape), "data": PIXELS.ravel().tolist()}
    asked = {"id": "42", "inputs": [tensor], "outputs": [{"name": "scores"}, {"name": "flag"}]}
    validator(post["requestBody"]["content"]["application/json"]["schema"]).validate(asked)
    for body, status in ((asked, "200"), ({"inputs": []}, "400")):
        answer = http.post(path_of(template), json=body)
        assert answer.status_code == int(status)
        validator(post["responses"][status]["content"]["application/json"]["schema"]).validate(answer.json())
    assert http.post(path_of(template), json=asked).json()["id"] == "42"


def test_the_schemas_can_refuse() -> None:
    """The oracle is no rubber stamp: an output without datatype does not pass it."""
    schema = DOCUMENT["components"]["schemas"]["inference_response"]
    answer = {"model_name": "chexpert", "outputs": [{"name": "scores", "shape": [1], "data": [0.5]}]}
    assert not validator(schema).is_valid(answer)


def test_half_precision_comes_as_binary(http: httpx.Client) -> None:
    """FP16 on request: half the bytes, scores equal to half precision; an output that is not asked so stays FP32."""
    full, full_raw = ask(http, [{"name": "scores", "parameters": {"binary_data": True}}])
    half, half_raw = ask(
        http,
        [
            {"name": "scores", "parameters": {"binary_data": True, "datatype": "FP16"}},
            {"name": "priority", "parameters": {"binary_data": True}},
        ],
    )
    assert [(output["name"], output["datatype"]) for output in full["outputs"]] == [("scores", "FP32")]
    assert [(output["name"], output["datatype"]) for output in half["outputs"]] == [
        ("scores", "FP16"),
        ("priority", "FP32"),
    ]
    assert [output["parameters"]["binary_data_size"] for output in half["outputs"]] == [2 * 14 * 2, 2 * 4]
    np.testing.assert_allclose(np.frombuffer(half_raw[:56], "<f2"), np.frombuffer(full_raw, "<f4"), rtol=1e-3)


def test_half_precision_as_json_is_refused(http: httpx.Client) -> None:
    """JSON has no FP16: a 400 says how to ask."""
    header = request([{"name": "scores", "parameters": {"datatype": "FP16"}}])
    length = {"inference-header-content-length": str(len(header))}
    answer = http.post("/v2/models/chexpert/infer", content=header + RAW, headers=length)
    assert (answer.status_code, "binary_data" in answer.json()["error"]) == (400, True)


def test_the_sdks_messages_are_the_protocols(tmp_path: Path) -> None:
    """Each field of the proto file is in the SDK under its number and type, but for five that came later."""
    target = tmp_path / "oip.pb"
    code = protoc.main(["protoc", f"-I{OIP}", f"--descriptor_set_out={target}", str(OIP / "open_inference_grpc.proto")])
    assert code == 0
    (described,) = FileDescriptorSet.FromString(target.read_bytes()).file
    told = subprocess.run([sys.executable, "-c", SDKS], check=True, stdout=subprocess.PIPE, timeout=60)
    ours = FileDescriptorProto.FromString(told.stdout)
    wanted, found = fields(described.message_type), fields(ours.message_type)
    assert wanted.keys() - found.keys() == LACKING
    assert {name: found[name] for name in wanted.keys() - LACKING} == {
        name: wanted[name] for name in wanted.keys() - LACKING
    }
    assert {method.name for service in described.service for method in service.method} <= {
        method.name for service in ours.service for method in service.method
    }


def fields(messages: Any, prefix: str = "") -> dict[str, tuple[int, int, int]]:
    """Number, type and label of each field, by message and name; nested messages too."""
    told: dict[str, tuple[int, int, int]] = {}
    message: DescriptorProto
    for message in messages:
        name = f"{prefix}{message.name}"
        told |= {f"{name}.{one.name}": (one.number, one.type, one.label) for one in message.field}
        told |= fields(message.nested_type, f"{name}.")
    return told
