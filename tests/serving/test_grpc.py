"""V2 over gRPC beyond what other people's clients send: wrong messages, callers that leave, limits, the end."""

import importlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from chexpert.bundle.store import BundleRef
from chexpert.testing.bundles import draw_pixels

Write = Callable[..., str]
PIXELS = draw_pixels(np.random.default_rng(3), 1, 64)
PROGRAM = str(Path(__file__).parent / "stuck_server.py")
LIMIT = 64 * 2**20


class Caller:
    """Raw calls, by tritonclient's messages."""

    def __init__(self, address: str) -> None:
        options = [("grpc.max_send_message_length", 2 * LIMIT)]
        self._channel = grpc.insecure_channel(address, options)
        stubs = importlib.import_module("tritonclient.grpc.service_pb2_grpc")  # late, as in test_clients
        self.infer = stubs.GRPCInferenceServiceStub(self._channel).ModelInfer

    def close(self) -> None:
        """No more calls."""
        self._channel.close()


@pytest.fixture(scope="module")
def served(start: Callable[..., Any], isvc_text: Write, one: BundleRef) -> Any:
    """A server with one version."""
    running = start(isvc_text(("v1", one)))
    running.wait_weights({"v1": 100})
    return running


@pytest.fixture
def caller(served: Any) -> Any:
    """Calls to it."""
    calling = Caller(served.grpc)
    yield calling
    calling.close()


def request(
    name: str, datatype: str, shape: list[int], raw: bytes | None = None, contents: list[bytes] | None = None
) -> Any:
    message = importlib.import_module("tritonclient.grpc.service_pb2").ModelInferRequest(model_name="chexpert")
    tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
    if raw is not None:
        message.raw_input_contents.append(raw)
    if contents is not None:
        tensor.contents.bytes_contents.extend(contents)
    return message


def pixels(version: str = "") -> Any:
    message = request("pixels", "UINT8", list(PIXELS.shape), PIXELS.tobytes())
    message.model_version = version
    return message


def scores(answer: Any) -> Any:
    """Of the first output, raw or typed."""
    (output, *_) = answer.outputs
    if answer.raw_output_contents:
        return np.frombuffer(answer.raw_output_contents[0], {"FP32": "<f4", "FP16": "<f2"}[output.datatype])
    return np.array(output.contents.fp32_contents, dtype=np.float32)


@pytest.mark.parametrize(
    ("tensor", "size", "says"),
    [
        (("pixels", "UINT8", [1, 1, -64, -64]), 4096, "shape"),
        (("pixels", "UINT8", [1, 1, 2**62, 4]), 0, "shape"),
        (("pixels", "UINT8", [1, 1, 2**32, 2**32]), 0, "shape"),
        (("pixels", "UINT8", [1, 1, 64, 64]), 4095, "4096 bytes"),
        (("pixels", "UINT8", [1, 1, 64, 64]), None, "whole numbers"),
        (("pixels", "FP32", [1, 1, 64, 64]), 4096, "FP32"),
        (("pixels", "NONE", [1, 1, 64, 64]), 4096, "'pixels' of 'NONE'"),
        (("image", "BYTES", [-1]), 4, "shape"),
        (("image", "BYTES", [2]), 4, "2 elements"),
        (("x" * 9000, "BYTES", [1]), 4, "'xxx"),
    ],
)
def test_a_wrong_tensor_is_an_invalid_argument_that_says_why(
    served: Any, tensor: tuple[str, str, list[int]], size: int | None, says: str
) -> None:
    """As over REST; and nothing of it is a fault of ours."""
    calling = Caller(served.grpc)
    with pytest.raises(grpc.RpcError) as caught:
        calling.infer(request(*tensor, None if size is None else bytes(size)), timeout=30)
    calling.close()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in caught.value.details()
    assert "Traceback" not in served.log.read_text()


def test_half_precision_comes_raw(caller: Caller) -> None:
    """FP16 by the parameter of the output: 28 bytes that are the scores to half precision."""
    full = scores(caller.infer(pixels(), timeout=30))
    asked = pixels()
    asked.outputs.add(name="scores").parameters["datatype"].string_param = "FP16"
    answer = caller.infer(asked, timeout=30)
    assert [(output.name, output.datatype) for output in answer.outputs] == [("scores", "FP16")]
    assert len(answer.raw_output_contents[0]) == 28
    np.testing.assert_allclose(scores(answer), full, rtol=1e-3)


def test_an_image_travels_as_typed_contents_too(caller: Caller, jpeg: bytes) -> None:
    """`bytes_contents` holds a JPEG as it is, and is answered as the raw form is."""
    raw = len(jpeg).to_bytes(4, "little") + jpeg
    as_raw = scores(caller.infer(request("image", "BYTES", [1], raw), timeout=30))
    as_typed = scores(caller.infer(request("image", "BYTES", [1], contents=[jpeg]), timeout=30))
    assert as_raw.tolist() == as_typed.tolist()


def test_an_oversize_message_is_refused_by_its_size(caller: Caller) -> None:
    """What is over the limit never comes to a version."""
    with pytest.raises(grpc.RpcError) as caught:
        caller.infer(request("image", "BYTES", [1], bytes(LIMIT + 1)), timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_callers_that_leave_are_no_fault_of_the_version(
    start: Callable[..., Any], isvc_text: Write, one: BundleRef, two: BundleRef
) -> None:
    """A cancelled call and a deadline shorter than the version's own time are rejected, as nobody's error.

    The version's own time running out is a timeout of the version. All are logged with the digest of their image.
    """
    switch = Path(one.uri.rsplit("/", 1)[0] + "/slow-grpc")
    switch.touch()
    faulty = ("-m", "chexpert.testing.faults", "slow", f"--switch={switch}", "--delay-ms=3000", "--")
    slow = start(isvc_text(("v1", one), ("v6", two, 0)), "--timeout-s=1.5", program=faulty)
    slow.wait_weights({"v1": 100, "v6": 0})
    calling = Caller(slow.grpc)
    cancelled = calling.infer.future(pixels("v6"))
    time.sleep(0.3)
    assert cancelled.cancel()
    for deadline in (0.3, 30):
        with pytest.raises(grpc.RpcError) as caught:
            calling.infer(pixels("v6"), timeout=deadline)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    text = httpx.get(f"{slow.http}/metrics").text
    assert 'chexpert_requests_total{outcome="rejected",shadow="false",version="v6"} 2.0' in text
    assert 'chexpert_requests_total{outcome="timeout",shadow="false",version="v6"} 1.0' in text
    assert 'chexpert_errors_total{version="v6"} 1.0' in text
    assert 'chexpert_stage_seconds_count{stage="total",version="v6"} 1.0' in text
    calling.close()
    assert slow.stop() == 0
    columns = slow.logged("v6")
    assert sorted(columns["outcome"]) == ["rejected", "rejected", "timeout"]
    assert len(set(columns["image_sha256"])) == 1
    assert {len(digest) for digest in columns["image_sha256"]} == {64}


def test_what_the_server_cannot_hold_is_to_be_tried_again(
    start: Callable[..., Any], isvc_text: Write, one: BundleRef, jpeg: bytes
) -> None:
    """The bytes of messages count as those of bodies do; calls beyond the limit are turned away by gRPC itself."""
    stuck = Path(one.uri.rsplit("/", 1)[0] + "/stuck-grpc")
    stuck.touch()
    limits = (f"--upload-bytes={len(jpeg) + 4500}", "--grpc-calls=2")
    small = start(isvc_text(("v1", one)), *limits, program=(PROGRAM,), environment={"STUCK_DECODE": str(stuck)})
    small.wait_weights({"v1": 100})
    calling = Caller(small.grpc)
    held = calling.infer.future(request("image", "BYTES", [1], contents=[jpeg]))
    while 'chexpert_in_flight_requests{version="v1"} 1.0' not in httpx.get(f"{small.http}/metrics").text:
        time.sleep(0.02)
    with pytest.raises(grpc.RpcError) as caught:
        calling.infer(request("image", "BYTES", [1], contents=[jpeg]), timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "try again" in caught.value.details()
    assert calling.infer(pixels(), timeout=30).model_version == "v1"
    second = calling.infer.future(request("image", "BYTES", [1], contents=[b"x"]))
    while 'chexpert_in_flight_requests{version="v1"} 2.0' not in httpx.get(f"{small.http}/metrics").text:
        time.sleep(0.02)
    with pytest.raises(grpc.RpcError) as caught:
        calling.infer(pixels(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    stuck.unlink()
    assert held.result(30).model_version == "v1"
    assert second.exception(30).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert calling.infer(request("image", "BYTES", [1], contents=[jpeg]), timeout=30).model_version == "v1"
    calling.close()


def test_sigterm_loses_no_call_in_flight(start: Callable[..., Any], isvc_text: Write, one: BundleRef) -> None:
    """Every call that the server took is answered OK and logged; the others it never began, and they find no server.

    gRPC ends a call on its way at the shutdown as UNAVAILABLE, or CANCELLED where its core had it and no handler did.
    """
    served = start(isvc_text(("v9", one)))
    served.wait_weights({"v9": 100})
    answered: list[str] = []
    refused: list[grpc.StatusCode] = []
    assert served.stop_under(4, partial(ask_until_away, served.grpc, answered, refused)) == 0
    assert len(answered) > 20
    assert set(answered) == {"v9"}
    assert len(refused) == 4
    assert set(refused) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    told = [json.loads(line)["status"] for line in served.access.read_text().splitlines()]
    assert told == ["OK"] * len(answered)
    assert len(served.logged("v9")["outcome"]) == len(answered)


def ask_until_away(address: str, answered: list[str], refused: list[grpc.StatusCode]) -> None:
    calling = Caller(address)
    try:
        while True:
            answered.append(calling.infer(pixels(), timeout=30).model_version)
    except grpc.RpcError as error:
        refused.append(error.code())
    finally:
        calling.close()
