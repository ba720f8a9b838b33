"""A site on a temporary SQLite file and folder, real images, and a real server."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from chexpert.triage.app import create_app
from chexpert.triage.settings import SiteSettings
from chexpert.triage.site import Site, open_site


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        """A microsecond later than the last time."""
        self.now += timedelta(microseconds=1)
        return self.now

    def forward(self, **units: float) -> None:
        """Let time pass."""
        self.now += timedelta(**units)


def _png(seed: int, size: int = 48) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)
    sink = BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Another image for each seed."""
    return _png


@pytest.fixture
def settings(tmp_path: Path) -> SiteSettings:
    return SiteSettings(objects=str(tmp_path / "objects"), database=f"sqlite:///{tmp_path / 'site.sqlite'}")


@pytest.fixture
def site(settings: SiteSettings, clock: Hand) -> Iterator[Site]:
    opened = open_site(settings, clock)
    yield opened
    opened.database.close()


@contextmanager
def _served(settings: SiteSettings, clock: Callable[[], datetime] | None = None) -> Iterator[httpx.Client]:
    app = create_app(settings, clock=clock) if clock else create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def serve() -> Callable[..., object]:
    """Serve settings on a free port; a context manager that gives a client."""
    return _served


@pytest.fixture
def client(settings: SiteSettings, clock: Hand) -> Iterator[httpx.Client]:
    with _served(replace(settings, file_bytes_max=200_000, request_bytes_max=400_000), clock) as opened:
        yield opened


@pytest.fixture
def send(client: httpx.Client) -> Callable[..., httpx.Response]:
    """Upload images with form fields."""

    def _send(*images: bytes, **form: str) -> httpx.Response:
        files = [("images", (f"{number}.png", image, "image/png")) for number, image in enumerate(images)]
        return client.post("/api/studies", files=files, data=form)

    return _send
