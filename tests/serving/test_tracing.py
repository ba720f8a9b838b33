"""Traces go where the environment says, join the caller's trace, and cost nothing where it says nothing."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from chexpert.bundle.store import BundleRef
from chexpert.serving.client import V2Client
from chexpert.serving.tracing import open_traces

Write = Callable[..., str]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 64, 64], "data": [9] * 4096}]}


class Collector:
    """A tiny OTLP receiver: keeps what is posted to /v1/traces."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def spans(self) -> dict[str, list[Span]]:
        """What came, by the request it belongs to: the server's span first, then its stages as they began."""
        every = [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        by_request = {}
        for root in every:
            if root.kind == Span.SPAN_KIND_SERVER:
                children = [span for span in every if span.parent_span_id == root.span_id]
                by_request[attributes(root)["chexpert.request"]] = [
                    root,
                    *sorted(children, key=lambda span: span.start_time_unix_nano),
                ]
        return by_request


def attributes(span: Span) -> dict[str, Any]:
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in span.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A receiver on loopback."""
    running = Collector()
    yield running
    running.close()


@pytest.fixture(scope="module")
def spans(
    start: Callable[..., Any], isvc_text: Write, one: BundleRef, collector: Collector, jpeg: bytes
) -> dict[str, list[Span]]:
    """What a server sent of three requests until it had ended."""
    served = start(isvc_text(("v1", one)), environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    served.wait_weights({"v1": 100})
    with V2Client(served.http) as client:
        client.score_images([jpeg], request_id="own")
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    infer = f"{served.http}/v2/models/chexpert/infer"
    assert httpx.post(infer, json={"id": "joined", **BODY}, headers=headers).status_code == 200
    unsampled = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
    assert httpx.post(infer, json={"id": "unsampled", **BODY}, headers=unsampled).status_code == 200
    unknown = httpx.post(infer.replace("infer", "versions/v9/infer"), json=BODY, headers={"x-request-id": "unknown"})
    assert unknown.status_code == 404
    assert served.stop() == 0
    return collector.spans()


def test_a_request_is_a_span_with_a_child_per_stage(spans: dict[str, list[Span]]) -> None:
    """Route and version on the server's span; within its time queue, decode, queue, model and encode, in that order."""
    root, *stages = spans["own"]
    assert root.name == "POST /v2/models/{model}/infer"
    told = attributes(root)
    assert (told["http.response.status_code"], told["chexpert.version"], told["chexpert.batch"]) == (200, "v1", 1)
    assert [span.name for span in stages] == ["queue", "decode", "queue", "model", "encode"]
    assert all(span.trace_id == root.trace_id for span in stages)
    assert all(earlier.end_time_unix_nano <= later.start_time_unix_nano for earlier, later in pairwise(stages))
    assert root.start_time_unix_nano <= stages[0].start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= root.end_time_unix_nano


def test_a_callers_trace_is_joined(spans: dict[str, list[Span]]) -> None:
    """The W3C header `traceparent` gives trace and parent; without it a trace of its own begins."""
    assert (spans["joined"][0].trace_id.hex(), spans["joined"][0].parent_span_id.hex()) == (TRACE, CALLER)
    assert spans["own"][0].parent_span_id == b""
    assert spans["own"][0].trace_id.hex() != TRACE


def test_a_caller_that_does_not_sample_is_obeyed(spans: dict[str, list[Span]]) -> None:
    """A trace whose caller records nothing has no span of ours either."""
    assert "unsampled" not in spans


def test_a_refused_request_is_a_span_without_fault(spans: dict[str, list[Span]]) -> None:
    """The kind of the error is an attribute; the status of the span is that of a caller's mistake, not of ours."""
    (root,) = spans["unknown"]
    assert attributes(root)["error.type"] == "UnknownVersion"
    assert root.status.code == Status.STATUS_CODE_UNSET


def test_the_service_has_its_name(collector: Collector, spans: dict[str, list[Span]]) -> None:
    """Unless OTEL_SERVICE_NAME says another."""
    assert spans
    (resource, *_) = [entry.resource for request in collector.requests for entry in request.resource_spans]
    assert "chexpert-predictor" in [entry.value.string_value for entry in resource.attributes]


def test_without_an_endpoint_nothing_of_the_sdk_is_loaded() -> None:
    """No tracer, and a server's modules together import neither OpenTelemetry's SDK nor an exporter."""
    assert open_traces({}) is None
    assert open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
    loaded = "[m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]"
    program = (
        f"import sys, chexpert.serving.app as app, chexpert.serving.tracing as t; t.open_traces({{}}); print({loaded})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
