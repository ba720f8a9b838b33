"""The site as a process: listens on loopback unless it has users, says where, ends in order at SIGTERM."""

import ipaddress
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from chexpert.triage.app import create_app
from chexpert.triage.errors import UnsafeHost
from chexpert.triage.settings import SiteSettings

__all__ = ["is_loopback", "require_safe", "serve"]

_GRACE_S = 10
"""How long a request in flight may finish after SIGTERM."""
_KEEP_ALIVE_S = 120
"""Longer than a gateway keeps idle connections (Traefik: 90 s), so that it never sends an upload into a closed one."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_safe(settings: SiteSettings, host: str) -> None:
    """Raise UnsafeHost unless only this machine can reach `host`, or the site has users and a name to be called by."""
    if is_loopback(host):
        return
    if settings.login is None:
        raise UnsafeHost(host)
    if not settings.public_url:
        raise UnsafeHost(host, "it does not know by which name browsers reach it")


def serve(
    settings: SiteSettings,
    host: str,
    port: int,
    run_file: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes a free one; `run_file` and `announce` are told which.

    Raises:
        UnsafeHost: `host` is reachable from other machines, and users or the public URL are missing.
        BrokenUsers: the users' file cannot be used.
        OSError: the port is taken.
    """
    require_safe(settings, host)
    app = create_app(settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=512) as listening:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
                timeout_keep_alive=_KEEP_ALIVE_S,
            ),
        )
        announce(settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/")
        if run_file is not None:
            # The socket listens already: a request that comes before the loop runs waits in the backlog.
            _write_atomically(run_file, {"pid": os.getpid(), "port": listening.getsockname()[1]})
        # uvicorn ends in order at SIGTERM and then sends it again: without a handler that would end us before the rest.
        signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            server.run(sockets=[listening])
        finally:
            if run_file is not None:
                run_file.unlink(missing_ok=True)


def _write_atomically(path: Path, value: dict[str, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
