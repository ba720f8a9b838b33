"""The real site on a real socket, with a front that can refuse or lose answers."""

import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from chexpert.triage.app import create_app
from chexpert.triage.settings import SiteSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass
class Front:
    """Stands before the site: answers 503 instead of it, or lets it work and loses its answer."""

    app: Any
    unavailable: int = 0
    """Requests still to be answered with 503."""
    lost: int = 0
    """Answers of accepted requests still to be replaced by 502."""
    seen: list[str] = field(default_factory=list)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.seen.append(scope["path"])
        if self.unavailable > 0:
            self.unavailable -= 1
            await self._say(503, send)
        elif self.lost > 0:
            self.lost -= 1
            await self.app(scope, receive, _nowhere)
            await self._say(502, send)
        else:
            await self.app(scope, receive, send)

    @staticmethod
    async def _say(status: int, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})


async def _nowhere(_: Message) -> None:
    return


@dataclass(frozen=True)
class SiteServer:
    """Where the site answers."""

    url: str
    front: Front


@pytest.fixture
def site_server(tmp_path: Path) -> Iterator[SiteServer]:
    settings = SiteSettings(objects=str(tmp_path / "objects"), database=f"sqlite:///{tmp_path / 'site.sqlite'}")
    front = Front(create_app(settings))
    server = uvicorn.Server(uvicorn.Config(front, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield SiteServer(f"http://127.0.0.1:{port}", front)
    server.should_exit = True
    thread.join(timeout=10)
