"""Settings of the site and of the worker."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from chexpert.domain.triage import TriageRule
from chexpert.triage.errors import NotAllowed
from chexpert.triage.on_device_runtime import FOLDER

__all__ = ["LoginSettings", "SiteSettings", "WorkerSettings"]

_KEY_BYTES_MIN: Final = 32


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """Who may use the site, and for how long."""

    users: Path
    """One `name:role:hash` per line, as `chexpert users add` prints them; read again when it changes."""
    session_key: str = field(repr=False)
    """Secret of 32 bytes or more that signs the sessions; another one ends them all. Replicas share it."""
    idle: timedelta = timedelta(hours=12)
    """A session that nobody used for so long has ended: a shift, so that nobody logs in twice on one."""

    def __post_init__(self) -> None:
        if len(self.session_key.encode()) < _KEY_BYTES_MIN:
            reason = f"it has under {_KEY_BYTES_MIN} bytes: make one with `openssl rand -base64 48`"
            raise NotAllowed(what="CHEXPERT_SESSION_KEY", reason=reason)


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Where the site keeps its things, and what it takes."""

    objects: str
    """Root of images, label events and timelines: a folder or an fsspec URL."""
    database: str
    """SQLAlchemy URL; its tables are created and migrated at start."""
    rule: TriageRule = field(default_factory=TriageRule)
    """Order of the worklist."""
    name: str = "Reading room"
    """Shown at the top of each page."""
    file_bytes_max: int = 128_000_000
    """Of one file. A 16-bit radiograph of 4,300 x 3,500 pixels has 30 MB; larger files are refused with 413."""
    request_bytes_max: int = 1_000_000_000
    """Of one upload with all its files; more is refused with 413."""
    lock_idle: timedelta | None = timedelta(minutes=30)
    """A study that its reader left alone for so long goes to whoever opens it next; None: never without asking.

    A radiograph is read in minutes: half an hour is a reader who was called away.
    """
    page_rows: int = 50
    """Rows of one page of the worklist."""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    """Host names the site answers to: others are a page elsewhere that points its own name here (DNS rebinding)."""
    public_url: str = ""
    """How browsers reach the site, such as https://triage.example.org, where that is not by loopback; empty: it is."""
    predictor: str = ""
    """Base URL of the V2 server, asked which bundle a browser may score with; empty: none, `/on-device` says so."""
    on_device_runtime: Path = FOLDER
    """Holds onnxruntime-web, which `make on-device` fetches; without it `/on-device` says so."""
    login: LoginSettings | None = None
    """Users and sessions; None: whoever reaches the site names themselves, and it listens on loopback only."""

    def __post_init__(self) -> None:
        url = urlsplit(self.public_url)
        if self.public_url and (url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/")):
            raise NotAllowed(what="public URL", reason=f"{self.public_url!r} is no http://host or https://host")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How the worker asks the predictor."""

    predictor: str = ""
    """Base URL of the V2 server; empty: nothing is scored, label events are still exported."""
    timeout_s: float = 10.0
    """Of one request. A cold version may take seconds for its first image."""
    parallel: int = 4
    """Requests in flight. One image each, so that a bad one fails alone and each is drawn to a version on its own."""
    poll_s: float = 0.25
    """Pause while there is nothing to do: a study waits at most this long for its turn."""
    backoff_s: float = 0.5
    """First pause when the predictor is down; doubled each time."""
    backoff_max_s: float = 5.0
    """Longest pause while it is down, and so how late the worker notices that it is back."""
    retry_max_s: float = 60.0
    """Longest pause before one image that the predictor fails on is tried again."""
    export_rows: int = 5000
    """Label events in one Parquet part."""
