"""Servers as processes of their own: started, awaited, weighed and ended."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from bench.serving.ways import Server

START_S: Final = 180.0
"""A server that is not ready by then is broken."""
END_S: Final = 40.0
POLL_S: Final = 0.01


class NotStarted(Exception):
    """A server ended, or was not ready in time; its last lines say why."""

    def __init__(self, name: str, log: Path) -> None:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        super().__init__(f"{name} did not become ready; its log ends:\n{tail}")


class Running:
    """A server that answers."""

    def __init__(self, process: subprocess.Popen[bytes], http: int, grpc: int, started_s: float) -> None:
        self.pid = process.pid
        self.http = http
        self.grpc = grpc
        self.start_s = started_s
        """From the start of the process to its first 200."""

    def resident_mb(self) -> float:
        """Resident memory of the process and all below it."""
        return sum(_resident_kb(pid) for pid in [self.pid, *_below(self.pid)]) / 1024.0


@contextlib.contextmanager
def running(server: Server, logs: Path) -> Iterator[Running]:
    """Start it, wait until it is ready, end it.

    Raises:
        NotStarted: With the end of its log.
    """
    http, grpc = _free_ports()
    ports = {"http": http, "grpc": grpc}
    command = [part.format(**ports) for part in server.command]
    environment = {name: value.format(**ports) for name, value in server.environment.items()}
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{server.name}.log"
    with log.open("wb") as sink:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 -- a server of this benchmark
            command,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        try:
            while not _answers(http, server.ready):
                if process.poll() is not None or time.perf_counter() - started > START_S:
                    raise NotStarted(server.name, log)
                time.sleep(POLL_S)
            yield Running(process, http, grpc, time.perf_counter() - started)
        finally:
            _end(process)


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the server, then an end to whatever of its session is left."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _below(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return children + [one for child in children for one in _below(child)]


def _resident_kb(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError):  # a child that just ended
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
