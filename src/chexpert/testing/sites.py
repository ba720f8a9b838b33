"""A site as tests and benchmarks serve it: the real application under a real server, in this process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import httpx
import uvicorn

from chexpert.triage.app import create_app
from chexpert.triage.settings import SiteSettings

__all__ = ["served"]


@contextmanager
def served(settings: SiteSettings, clock: Callable[[], datetime] | None = None) -> Iterator[httpx.Client]:
    """A client of a site on a free port of loopback, until the block ends."""
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
