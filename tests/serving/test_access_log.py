"""The access log tells each request in a line, and never stands in a request's way."""

import importlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chexpert.bundle.store import BundleRef
from chexpert.serving import access_log
from chexpert.serving.access_log import AccessLog
from chexpert.serving.client import PredictorRefused, V2Client
from chexpert.serving.exchange import Exchange, Stage

Write = Callable[..., str]


def finished(request: str = "a7") -> Exchange:
    exchange = Exchange("POST", "/v2/models/{model}/infer", request)
    exchange.version, exchange.status, exchange.images, exchange.batch = "v1", 200, 1, 4
    exchange.passed(Stage.QUEUE, exchange.started, exchange.started + 0.001)
    exchange.passed(Stage.QUEUE, exchange.started + 0.002, exchange.started + 0.004)
    exchange.passed(Stage.MODEL, exchange.started + 0.004, exchange.started + 0.024)
    exchange.ended = exchange.started + 0.025
    return exchange


def test_a_line_holds_times_sizes_and_names(tmp_path: Path) -> None:
    """Each field of one finished request, a stage it came to twice summed up; none that it never came to, or later."""
    file = tmp_path / "access.jsonl"
    with file.open("wb", buffering=0) as sink:
        log = AccessLog(sink)
        exchange = finished()
        log.write(exchange)
        exchange.passed(Stage.MODEL, exchange.ended, exchange.ended + 9.0)  # by a thread that goes on unheard
        log.close()
    told = json.loads(file.read_text())
    assert told["time"].endswith("+00:00")
    assert told["ms"] == {"total": 25.0, "queue": 3.0, "model": 20.0}
    wanted = ("method", "route", "status", "version", "request", "batch", "error")
    assert [told[key] for key in wanted] == ["POST", "/v2/models/{model}/infer", 200, "v1", "a7", 4, ""]


def test_a_caller_cannot_write_lines_of_its_own(tmp_path: Path) -> None:
    """A line break in the identity stays inside one line, and a long identity is cut."""
    file = tmp_path / "access.jsonl"
    with file.open("wb", buffering=0) as sink:
        log = AccessLog(sink)
        log.write(finished('x\n{"status": 200}' + "y" * 1000))
        log.close()
    (only,) = file.read_text().splitlines()
    assert len(json.loads(only)["request"]) == 128


class Stuck:
    """A sink whose reader has stopped reading."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def write(self, data: bytes, /) -> int:
        """Taken as soon as the reader goes on."""
        self.entered.set()
        self.go_on.wait(30)
        return len(data)


def test_a_reader_that_stops_costs_lines_and_not_answers(caplog: pytest.LogCaptureFixture) -> None:
    """`write` returns while the sink is stuck; what the queue cannot hold is counted, and told at the end."""
    sink = Stuck()
    log = AccessLog(sink, waiting=2)
    log.write(finished())
    assert sink.entered.wait(30)
    for _ in range(5):
        log.write(finished())
    assert log.dropped == 3
    sink.go_on.set()
    log.close()
    assert "3 lines" in caplog.text


def test_lines_that_come_faster_than_moments_are_all_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many wait, nothing is gathered: a write follows at once, and no line is lost for want of a moment."""
    monkeypatch.setattr(access_log, "_GATHER_S", 1.0)
    file, count = tmp_path / "access.jsonl", 6400
    with file.open("wb", buffering=0) as sink:
        log = AccessLog(sink, waiting=count)
        for _ in range(count):
            log.write(finished())
        deadline = time.monotonic() + 20.0  # a hundred moments would take 100 s
        while file.read_bytes().count(b"\n") < count - 64 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert file.read_bytes().count(b"\n") >= count - 64
        log.close()
    assert file.read_bytes().count(b"\n") == count
    assert log.dropped == 0


def test_a_reader_that_is_gone_ends_the_log_quietly() -> None:
    """A closed pipe, as behind `head`, is no error of the server; its lines count as lost."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as sink:  # noqa: PTH123 -- a file descriptor
        log = AccessLog(sink)
        log.write(finished())
        log.write(finished())
        log.close()
    assert log.dropped == 2


@pytest.fixture(scope="module")
def lines(start: Callable[..., Any], isvc_text: Write, one: BundleRef, jpeg: bytes) -> dict[str, Any]:
    """Lines of one server by request, after an answer, a shadow, two refusals and a probe."""
    served = start(isvc_text(("v1", one)))
    served.wait_weights({"v1": 100})
    url = f"{served.http}/v2/models/chexpert"
    with V2Client(served.http) as client:
        client.score_images([jpeg, jpeg], request_id="rest", shadow=True)
        with pytest.raises(PredictorRefused):
            client.score_images([b"Mrs Doe's secret"], request_id="bad")
    httpx.post(f"{url}/versions/v9/infer", content=b"{}", headers={"x-request-id": "unknown"})
    grpc = importlib.import_module("tritonclient.grpc")  # late, as in test_clients
    pixels = grpc.InferInput("pixels", [1, 1, 64, 64], "UINT8")
    pixels.set_data_from_numpy(np.zeros((1, 1, 64, 64), dtype=np.uint8))
    with grpc.InferenceServerClient(served.grpc) as client:
        client.infer("chexpert", [pixels], request_id="grpc")
    assert served.stop() == 0
    text = served.access.read_text()
    assert "secret" not in text
    told = {line["request"]: line for line in map(json.loads, text.splitlines())}
    assert len(told) == len(text.splitlines())
    return told


def test_each_inference_request_is_one_line(lines: dict[str, Any]) -> None:
    """Answers and refusals of both protocols are there, probes are not."""
    assert lines.keys() == {"rest", "bad", "unknown", "grpc"}


def test_an_answers_line_tells_how_it_came_about(lines: dict[str, Any], jpeg: bytes) -> None:
    """Route, version, sizes, batch and all four stages, whose sum is no more than the whole."""
    told = lines["rest"]
    assert (told["method"], told["route"], told["status"]) == ("POST", "/v2/models/{model}/infer", 200)
    assert (told["version"], told["images"], told["batch"], told["shadow"]) == ("v1", 2, 2, True)
    assert told["bytes_in"] > 2 * len(jpeg)
    assert told["bytes_out"] > 2 * 14 * 4
    stages = {name: ms for name, ms in told["ms"].items() if name != "total"}
    assert stages.keys() == {"queue", "decode", "model", "encode"}
    assert sum(stages.values()) <= told["ms"]["total"]


def test_a_refusals_line_names_the_kind_and_never_quotes_the_caller(lines: dict[str, Any]) -> None:
    """The kind of the error stands there, its words do not: they may quote what was sent."""
    assert (lines["bad"]["status"], lines["bad"]["error"]) == (400, "UnreadableImage")
    assert (lines["unknown"]["status"], lines["unknown"]["error"]) == (404, "UnknownVersion")
    assert lines["unknown"]["route"] == "/v2/models/{model}/versions/{version}/infer"


def test_a_grpc_call_is_told_like_a_rest_one(lines: dict[str, Any]) -> None:
    """Method, route and status are gRPC's own words."""
    told = lines["grpc"]
    assert (told["method"], told["status"], told["version"]) == ("gRPC", "OK", "v1")
    assert told["route"] == "/inference.GRPCInferenceService/ModelInfer"
    assert told["bytes_in"] > 64 * 64


def test_the_access_log_can_be_switched_off(
    start: Callable[..., Any], isvc_text: Write, one: BundleRef, jpeg: bytes
) -> None:
    """With --no-access-log nothing stands on standard output."""
    served = start(isvc_text(("v1", one)), "--no-access-log")
    served.wait_weights({"v1": 100})
    with V2Client(served.http) as client:
        client.score_images([jpeg])
    assert served.stop() == 0
    assert served.access.read_text() == ""
