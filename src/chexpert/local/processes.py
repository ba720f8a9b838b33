"""One supervised child process: started, watched until it answers, restarted if it dies, ended in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import httpx

from chexpert.domain.errors import ChexpertError

__all__ = ["Process", "ProcessDidNotStart", "end_in_order", "wait_for_signal"]


class ProcessDidNotStart(ChexpertError):
    """A child ended or did not answer in time."""

    def __init__(self, name: str, log: Path, why: str) -> None:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""
        super().__init__(f"{name} did not start: {why}. The end of {log}:\n{tail}")
        self.name = name
        self.log = log


class Process:
    """A command with its log, kept alive until `stop`."""

    restarts_max = 5
    """A process that died more often than this stays down: something is wrong that a restart does not mend."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.restarts = 0
        self._environment = {**os.environ, **environment}
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None
        self._stream: IO[bytes] | None = None

    def start(self) -> None:
        """Start the command in a session of its own, so that a Ctrl-C at the terminal reaches only the supervisor."""
        self._stream = self._log.open("ab")
        self._child = subprocess.Popen(  # noqa: S603  the command is our own
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._stream,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
        )

    @property
    def pid(self) -> int | None:
        """Number of the child; None before the first start."""
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._child is not None and self._child.poll() is None

    def wait_answering(self, url: str, *, timeout_s: float) -> None:
        """Return once `url` answers anything below 500.

        Raises:
            ProcessDidNotStart: The child ended, or nothing answered in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                code = self._child.returncode if self._child else None
                raise ProcessDidNotStart(self.name, self._log, f"it ended with {code}")
            try:
                if httpx.get(url, timeout=2.0).status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise ProcessDidNotStart(self.name, self._log, f"{url} did not answer in {timeout_s:g} s")

    def revive(self) -> bool:
        """Start the child again if it died; True if it had."""
        if self.alive or self.restarts >= self.restarts_max:
            return False
        self.restarts += 1
        self._close_log()
        self.start()
        return True

    def stop(self, *, grace_s: float = 20.0) -> None:
        """SIGTERM, time to drain, then SIGKILL."""
        if self._child is not None and self.alive:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._close_log()

    def _close_log(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def end_in_order() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does, so that every child is ended before it."""

    def stop(number: int, _: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)


def wait_for_signal() -> None:
    """Return at SIGINT or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
