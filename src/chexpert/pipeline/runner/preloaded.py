"""The runner's side of `server`: starts it, asks it to run commands, and hears how they ended."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from chexpert.domain.errors import ChexpertError

__all__ = ["CATALOGUE", "Child", "Preloaded", "ServerGone"]

CATALOGUE: Final = "chexpert.pipeline.catalogue:STEPS"

_CLOSING_S: Final = 3.0
"""How long the server may take to end; longer only in the middle of an import, which may be cut off."""


class ServerGone(ChexpertError):
    """The process that steps are forked from has ended before its time."""

    def __init__(self, exit_code: int | None, tail: str) -> None:
        super().__init__(f"the process that steps are forked from ended with {exit_code}; it last said: {tail or '-'}")
        self.exit_code, self.tail = exit_code, tail


@dataclass(frozen=True, slots=True)
class Child:
    """A command that was asked for."""

    number: int
    ended: "Future[int]"
    """Its exit code, negative for a signal; ServerGone if that is never to be known."""


class Preloaded:
    """A process with the slow modules imported, from which any number of runs fork their steps.

    Importing begins at `start`, in the background: start it before there is anything to run. A step waits only for the
    modules that its own declaration names. Close it at the end; it ends with this process too, and its children.
    """

    def __init__(self, steps: Sequence[str] = (), *, catalogue: str = CATALOGUE) -> None:
        """`steps`: names whose modules are imported beforehand; the others import theirs when they run."""
        self._steps, self._catalogue = tuple(steps), catalogue
        self._lock = threading.Lock()
        self._futures: dict[int, Future[int]] = {}
        self._pids: dict[int, int] = {}
        self._count = 0
        self._imported: dict[str, float] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._errors: IO[bytes] | None = None

    def start(self) -> Self:
        """Start the process; its imports go on in the background."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        command = [sys.executable, "-m", "chexpert.pipeline.runner.server", self._catalogue, ",".join(self._steps)]
        # Its own session: Ctrl-C reaches the runner alone, which then ends its steps in order.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, name="preloaded", daemon=True)
        self._reader.start()
        return self

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def imported(self) -> Mapping[str, float]:
        """Modules imported so far, with their seconds."""
        return dict(self._imported)

    def submit(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path, folder: Path) -> Child:
        """Run a command: `chexpert step …` in a fork, any other as a program. Output is appended to `log`."""
        with self._lock:
            self._count += 1
            number, future = self._count, Future[int]()
            self._futures[number] = future
        self._send(
            {
                "id": number,
                "command": list(command),
                "environment": dict(environment),
                "log": str(log.absolute()),
                "cwd": str(folder.absolute()),
            },
        )
        return Child(number=number, ended=future)

    def kill(self, child: Child, number: int = signal.SIGKILL) -> None:
        """Send a signal to a command and everything it started; nothing happens once it ended."""
        if not child.ended.done():
            self._send({"kill": child.number, "signal": int(number)})

    def close(self) -> None:
        """End the process and whatever still runs in it."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        try:
            process.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:  # it may be in the middle of a long import
            process.kill()
            process.wait()
            for pid in self._pids.values():  # each leads a process group of its own
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        if self._reader is not None:
            self._reader.join()
        process.stdout.close()
        if self._errors is not None:
            self._errors.close()
        self._process = None

    def _send(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise ServerGone(None, "it was not started")
        try:
            with self._lock:
                process.stdin.write(json.dumps(message).encode() + b"\n")
                process.stdin.flush()
        except BrokenPipeError as error:
            raise ServerGone(process.wait(), self._tail()) from error

    def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        for line in process.stdout:
            message = json.loads(line)
            if "pid" in message:
                self._pids[message["id"]] = message["pid"]
            elif "exit" in message:
                self._pids.pop(message["id"], None)
                with self._lock:
                    future = self._futures.pop(message["id"])
                future.set_result(message["exit"])
            elif "imported" in message:
                self._imported[message["imported"]] = message["seconds"]
        with self._lock:
            lost, self._futures = self._futures, {}
        for future in lost.values():
            future.set_exception(ServerGone(process.poll(), self._tail()))

    def _tail(self) -> str:
        if self._errors is None or self._errors.closed:
            return ""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-2000:]
