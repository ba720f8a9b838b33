"""What requests hold before a version has them: bytes, and time."""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from chexpert.bundle.store import BundleRef
from chexpert.serving.client import V2Client
from chexpert.serving.errors import RequestTooLarge, UploadsFull
from chexpert.serving.uploads import Uploads

Write = Callable[..., str]
INFER = "/v2/models/chexpert/infer"
PROGRAM = str(Path(__file__).parent / "stuck_server.py")
LIMIT = 100_000
PIXELS = np.full((1, 1, 64, 64), 9, dtype=np.uint8)


def test_what_is_taken_comes_back_however_the_request_ends() -> None:
    """Room is shared by all requests, and whole again after answers, refusals and errors."""
    told: list[int] = []
    uploads = Uploads(10, told.append)
    with uploads.claim() as take:
        take(4)
        take(2)
        with uploads.claim() as other, pytest.raises(UploadsFull, match="5 bytes"):
            other(5)
        with pytest.raises(TypeError), uploads.claim() as other:
            sum(map(other, [4]))  # of None: fails after the room was taken
        assert uploads.held == 6
    assert uploads.held == told[-1] == 0
    assert max(told) == 10


def test_what_never_fits_is_too_large() -> None:
    """To try again would not help a request that is bigger than all the room there is."""
    with Uploads(10, lambda _: None).claim() as take:
        take(6)
        with pytest.raises(RequestTooLarge):
            take(5)


def test_the_limit_can_be_switched_off() -> None:
    """0: any number of bytes."""
    with Uploads(0, lambda _: None).claim() as take:
        take(2**40)


@pytest.fixture(scope="module")
def stuck(folder: Path) -> Path:
    """No image is decoded while this file is there."""
    return folder / "stuck"


@pytest.fixture(scope="module")
def served(start: Callable[..., Any], isvc_text: Write, one: BundleRef, stuck: Path) -> Any:
    """A server with room for 100,000 bytes, which come within 2 s."""
    limits = (f"--upload-bytes={LIMIT}", "--body-s=2")
    running = start(isvc_text(("v1", one)), *limits, program=(PROGRAM,), environment={"STUCK_DECODE": str(stuck)})
    running.wait_weights({"v1": 100})
    return running


@contextmanager
def upload(served: Any, size: int, part: bytes = b"{") -> Iterator[socket.socket]:
    """A connection that announced a body of `size` bytes and sent `part` of it."""
    address = httpx.URL(served.http)
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nX-Request-Id: half\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection((address.host, address.port or 0), timeout=30) as raw:
        raw.sendall(head.encode() + part)
        yield raw


def held(served: Any) -> float:
    lines = httpx.get(f"{served.http}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("chexpert_upload_bytes "))


def wait_held(served: Any, size: float) -> None:
    until = time.monotonic() + 30
    while held(served) != size:
        assert time.monotonic() < until, f"{held(served)} bytes are held, not {size}"
        time.sleep(0.02)


def body(size: int) -> bytes:
    """A request with pixels in JSON, so long."""
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 64, 64], "data": PIXELS.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode().ljust(size)


def test_beyond_the_room_there_is_uploads_get_503_and_others_are_answered(served: Any) -> None:
    """The second big upload is told when to come back, unread; a small one is answered; then all the room is back."""
    with upload(served, 90_000):
        wait_held(served, 90_000)
        with upload(served, 50_000) as refused:
            told = refused.recv(4096).decode().lower()
        assert told.startswith("http/1.1 503 ")
        assert "retry-after: 1" in told
        with V2Client(served.http) as client:
            assert client.score_images([picture(64)])[0].version == "v1"
    wait_held(served, 0)
    assert httpx.post(f"{served.http}{INFER}", content=body(50_000)).status_code == 200
    assert 'chexpert_refused_requests_total{reason="uploads_full",version=""} 1.0' in metrics(served)
    assert held(served) == 0


def metrics(served: Any) -> str:
    return httpx.get(f"{served.http}/metrics").text


def picture(side: int) -> bytes:
    """A PNG of few bytes."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 90).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_body_of_unknown_length_takes_room_as_it_comes(served: Any) -> None:
    """Chunks are counted one by one, and refused by the same rule."""

    def chunks(count: int) -> Iterator[bytes]:
        yield body(0)
        for _ in range(count):
            yield b" " * 10_000

    url = f"{served.http}{INFER}"
    assert httpx.post(url, content=chunks(3)).status_code == 200
    assert httpx.post(url, content=chunks(11)).status_code == 413
    with upload(served, 60_000):
        wait_held(served, 60_000)
        assert httpx.post(url, content=chunks(5)).status_code == 503
    wait_held(served, 0)


@pytest.mark.parametrize("length", ["", "1" * 5000, "-1", "1e3", "7, 7"])
def test_a_length_that_is_no_number_is_a_400(served: Any, length: str) -> None:
    """It never comes to where room is taken by it."""
    address = httpx.URL(served.http)
    with socket.create_connection((address.host, address.port or 0), timeout=30) as raw:
        raw.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_dribbles_is_a_408(served: Any) -> None:
    """After two seconds its room is given back, and so is its connection."""
    began = time.monotonic()
    with upload(served, 1_000) as slow:
        told = slow.recv(4096).decode().lower()
    assert told.startswith("http/1.1 408 ")
    assert "connection: close" in told
    assert 1.9 < time.monotonic() - began < 20
    wait_held(served, 0)


def test_an_upload_broken_off_is_the_callers(served: Any) -> None:
    """Its line in the access log says 499; nothing is traced back, and no version has an error."""
    with upload(served, 5_000, b"{" * 1_000):
        wait_held(served, 5_000)
    wait_held(served, 0)
    assert "chexpert_errors_total{" not in metrics(served)
    assert "Traceback" not in served.log.read_text()
    until = time.monotonic() + 30
    while not (gone := [line for line in lines(served) if line["error"] == "CallerGone"]):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert {(line["status"], line["version"], line["request"]) for line in gone} == {(499, "", "half")}


def lines(served: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in served.access.read_text().splitlines()]


def test_decoding_is_not_the_event_loops_work(served: Any, stuck: Path) -> None:
    """While an image is being decoded the server says that it lives, and pixels are scored to their end."""
    answers: list[str] = []

    def ask() -> None:
        with V2Client(served.http, timeout_s=60) as client:
            answers.append(client.score_images([picture(64)])[0].version)

    caller = threading.Thread(target=ask)
    stuck.touch()
    try:
        caller.start()
        while 'chexpert_in_flight_requests{version="v1"} 1.0' not in metrics(served):
            time.sleep(0.02)
        assert httpx.get(f"{served.http}/v2/health/live").status_code == 200
        assert httpx.post(f"{served.http}{INFER}", content=body(0)).status_code == 200
        assert not answers
    finally:
        stuck.unlink()
        caller.join(30)
    assert answers == ["v1"]


def test_sigterm_waits_for_a_dribbling_body_no_longer_than_it_may_take(served: Any) -> None:
    """The last of the module: the server ends, with its exit code 0, though a caller never sends the rest."""
    with upload(served, 1_000):
        wait_held(served, 1_000)
        began = time.monotonic()
        assert served.stop() == 0
    assert time.monotonic() - began < 15
