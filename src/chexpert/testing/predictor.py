"""A small V2 predictor over real HTTP, with switches for what goes wrong: other answers, delay, errors, being down."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.predictions import flag, priority
from chexpert.serving.tensors import HEADER_LENGTH, decode_bytes

__all__ = ["FakePredictor", "Said", "say"]

_MARK: Final = 0.5


@dataclass(frozen=True, slots=True)
class Said:
    """What is answered for one image; a status other than 200 sends only an error."""

    scores: tuple[float, ...] = (0.1,) * len(OBSERVATIONS)
    priority: float = 0.1
    flag: str = ""
    version: str = "v1"
    status: int = 200
    error: str = "planted"
    delay_s: float = 0.0


def say(image: bytes) -> Said:
    """Scores drawn from the image's digest, with their true priority and flag at a mark of .5."""
    rng = np.random.default_rng(int.from_bytes(sha256(image).digest()[:8]))
    scores = tuple(float(score) for score in rng.beta(0.7, 2.2, len(OBSERVATIONS)))
    raised = flag(scores, dict.fromkeys(OBSERVATIONS, _MARK))
    return Said(scores, priority(scores), str(raised or ""))


@dataclass
class FakePredictor:
    """A context manager that serves on loopback. Change `answer` at any time; entered again, it takes the same port."""

    answer: Callable[[bytes], Said] = say
    digests: dict[str, str] = field(default_factory=dict)
    """Bundle digest by version, as its metadata tells them."""
    images: list[bytes] = field(default_factory=list)
    """Every image it was asked for, in order."""
    in_flight_max: int = 0
    """Most requests it ever held at once."""
    port: int = 0

    def __enter__(self) -> Self:
        self._lock, self._in_flight = Lock(), 0
        self._connections: list[socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self, self._connections))
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        for connection in self._connections:
            with suppress(OSError):  # closed already
                connection.shutdown(SHUT_RDWR)  # kept-alive ones would go on answering
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, image: bytes) -> Said:
        """Answer one image, counting what is in flight."""
        with self._lock:
            self.images.append(image)
            self._in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self._in_flight)
        try:
            said = self.answer(image)
            time.sleep(said.delay_s)
            return said
        finally:
            with self._lock:
                self._in_flight -= 1


def _handler(predictor: FakePredictor, connections: list[socket]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else header and body wait for each other's acknowledgement: 40 ms

        def setup(self) -> None:
            connections.append(self.request)
            super().setup()

        def do_GET(self) -> None:
            metadata = {"name": "chexpert", "parameters": {"digests": predictor.digests}}
            self._send(HTTPStatus.OK, json.dumps(metadata).encode(), {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            (image,) = decode_bytes("image", body[int(self.headers[HEADER_LENGTH]) :], 1)
            said = predictor.take(image)
            if said.status == HTTPStatus.OK:
                self._send(HTTPStatus.OK, *_encode(said))
            else:
                self._send(said.status, json.dumps({"error": said.error}).encode(), {})

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _encode(said: Said) -> tuple[bytes, dict[str, str]]:
    name = said.flag.encode()
    raw = {
        "scores": ("FP32", [1, len(said.scores)], np.array(said.scores, "<f4").tobytes()),
        "priority": ("FP32", [1], np.array([said.priority], "<f4").tobytes()),
        "flag": ("BYTES", [1], len(name).to_bytes(4, "little") + name),
    }
    outputs = [
        {"name": key, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for key, (kind, shape, data) in raw.items()
    ]
    header = json.dumps({"model_name": "chexpert", "model_version": said.version, "outputs": outputs}).encode()
    return header + b"".join(data for _, _, data in raw.values()), {
        HEADER_LENGTH: str(len(header)),
        "x-model-version": said.version,
    }
