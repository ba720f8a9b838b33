"""The benchmark's client counts what was answered, refused and failed, by HTTP and by gRPC, with servers not ours."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import grpc
import pytest

BODIES = (b"first", b"x" * 300_000)
"""The second is larger than HTTP/2's first window and libcurl's buffer."""


class Seen(list[bytes]):
    """Bodies as they came, and the answer to give from then on."""

    answer = 200


@pytest.fixture
def seen() -> Seen:
    """Nothing yet."""
    return Seen()


@pytest.fixture
def http(seen: Seen) -> Iterator[int]:
    """Port of a server that answers with `seen.answer`; a refusal with Retry-After."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["x-asked"] == "yes"
            assert "expect" not in self.headers
            with lock:
                seen.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(seen.answer)
            if seen.answer == 503:
                self.send_header("Retry-After", "1")
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"text")

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def rpc(bench: Callable[[str], Any], seen: Seen) -> Iterator[int]:
    """Port of a gRPC server that answers OK (200), UNAVAILABLE (503) or INVALID_ARGUMENT (400)."""
    codes = {503: grpc.StatusCode.UNAVAILABLE, 400: grpc.StatusCode.INVALID_ARGUMENT}

    def answered(message: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append(message)
        if seen.answer in codes:
            context.abort(codes[seen.answer], "not this")
        return b"text"

    _, service, method = bench("serving.client").GRPC_METHOD.split("/")
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(answered)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture
def send(bench: Callable[[str], Any], tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Four requests by two callers, over the protocol of the test's parameter."""
    for number, body in enumerate(BODIES):
        (tmp_path / str(number)).write_bytes(body)
    port = request.getfixturevalue(request.param)
    told = {"path": "/infer", "headers": {"x-asked": "yes"}} if request.param == "http" else {}
    client = bench("serving.client")
    job = client.Job(port, str(tmp_path), concurrency=2, requests=4, **told)
    return lambda: client.run(job)


@pytest.mark.parametrize("send", ["http", "rpc"], indirect=True)
def test_answers_are_timed_and_bodies_come_whole(send: Callable[[], Any], seen: Seen) -> None:
    """Each caller sends the bodies in turn, beginning with its own; two more of its first are not counted."""
    outcome = send()
    assert len(outcome.latencies_ms) == 4
    assert 0 < sum(outcome.latencies_ms) <= 2 * 1000 * outcome.elapsed_s
    assert (outcome.refused, outcome.retry_after, outcome.failed) == (0, 0, [])
    assert sorted(seen) == sorted(BODIES * 4)


@pytest.mark.parametrize(("send", "announced"), [("http", 4), ("rpc", 0)], indirect=["send"])
def test_a_refusal_is_counted_and_is_no_failure(send: Callable[[], Any], seen: Seen, announced: int) -> None:
    """503 or UNAVAILABLE: refused, with Retry-After where HTTP tells it."""
    seen.answer = 503
    outcome = send()
    assert (outcome.refused, outcome.retry_after, outcome.failed) == (4, announced, [])
    assert outcome.latencies_ms == []


@pytest.mark.parametrize(
    ("send", "told"), [("http", "400: b'text'"), ("rpc", "200 gRPC 3 not this: b''")], indirect=["send"]
)
def test_whatever_else_comes_is_a_failure_with_its_words(send: Callable[[], Any], seen: Seen, told: str) -> None:
    """A code that is neither, and what stood in the answer."""
    seen.answer = 400
    outcome = send()
    assert outcome.failed == [told] * 4
    assert (outcome.refused, outcome.latencies_ms) == (0, [])


def test_nobody_there_is_a_failure(bench: Callable[[str], Any], tmp_path: Path) -> None:
    """A port that nobody listens on ends no run with an exception."""
    (tmp_path / "body").write_bytes(b"x")
    client = bench("serving.client")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    outcome = client.run(client.Job(port, str(tmp_path), path="/infer", requests=1))
    assert outcome.latencies_ms == []
    assert "refused" in outcome.failed[0] or "connect" in outcome.failed[0].lower()
