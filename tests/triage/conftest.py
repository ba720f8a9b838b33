"""A site on a temporary SQLite file and folder, real images, and a real server."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from chexpert.testing.sites import served
from chexpert.triage.passwords import PasswordHash
from chexpert.triage.settings import SiteSettings
from chexpert.triage.site import Site, open_site
from real_stores import postgres_server  # noqa: F401  a fixture

PASSWORD = "correct horse"  # noqa: S105  of the users made here


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A users' file: ada reads, tom uploads, root does both, all with PASSWORD. Its hashes are cheap ones."""
    blank = PasswordHash(b"salt", bytes(32), n=2, p=1)
    text = replace(blank, digest=blank.derive(PASSWORD)).to_text()
    names = {"ada": "radiologist", "tom": "technician", "root": "admin"}
    file = tmp_path / "users"
    file.write_text("".join(f"{name}:{role}:{text}\n" for name, role in names.items()))
    return file


@pytest.fixture
def serve() -> Callable[..., object]:
    """Serve settings on a free port; a context manager that gives a client."""
    return served


@pytest.fixture
def client(settings: SiteSettings, clock: Hand) -> Iterator[httpx.Client]:
    with served(replace(settings, file_bytes_max=200_000, request_bytes_max=400_000), clock) as opened:
        yield opened


@pytest.fixture
def send(client: httpx.Client) -> Callable[..., httpx.Response]:
    """Upload images with form fields."""

    def _send(*images: bytes, **form: str) -> httpx.Response:
        files = [("images", (f"{number}.png", image, "image/png")) for number, image in enumerate(images)]
        return client.post("/api/studies", files=files, data=form)

    return _send
