"""The process that steps are forked from: it imports the slow modules once, then forks and waits on request.

`python -m chexpert.pipeline.runner.server CATALOGUE STEP,STEP…`, one JSON object a line on standard input and output.
It has a single Python thread, so that a fork is safe at any moment; torch starts its own threads only when it computes.
"""

import atexit
import fcntl
import gc
import json
import multiprocessing.util
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from chexpert.pipeline import invocation
from chexpert.pipeline.step import StepDeclaration
from chexpert.pipeline.workflow.commands import step_of

__all__ = ["Server", "main"]

_NOT_STARTED = 127


class Server:
    """Imports, forks, waits; ends, and its children with it, when standard input is closed."""

    def __init__(self, steps: Mapping[str, StepDeclaration], preload: tuple[str, ...]) -> None:
        self._steps = steps
        self._missing = {name for name in preload if name in steps}
        self._requests: list[dict[str, Any]] = []
        self._children: dict[int, int] = {}
        self._buffer = b""
        self._replies = os.dup(1)  # imported modules may print: that goes to standard error
        os.dup2(2, 1)
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)

    def serve(self) -> None:
        """Serve until standard input is closed."""
        for name in [name for name in self._steps if name in self._missing]:
            declaration = self._steps[name]
            for module in (*declaration.imports, declaration.function.partition(":")[0]):
                self._import(module)
                if not self._turn(0):
                    return
            self._missing.discard(name)
        gc.collect()
        gc.freeze()
        while self._turn(None):
            pass

    def _import(self, module: str) -> None:
        if module in sys.modules:
            return
        start = time.monotonic()
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - the step itself will fail on it, and say so in its own log
            self._reply({"missing": module, "why": f"{type(error).__name__}: {error}"})
        else:
            self._reply({"imported": module, "seconds": time.monotonic() - start})

    def _turn(self, timeout: float | None) -> bool:
        """Handle what has come in; False once standard input is closed."""
        self._reap()
        self._start_ready()
        readable, _, _ = select.select([0, self._woken], [], [], timeout)
        if self._woken in readable:
            os.read(self._woken, 4096)
        if 0 in readable:
            data = os.read(0, 1 << 16)
            if not data:
                self._end()
                return False
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        self._reap()
        self._start_ready()
        return True

    def _take(self, message: dict[str, Any]) -> None:
        if "kill" in message:
            for pid, number in self._children.items():
                if number == message["kill"]:
                    _kill(pid, message["signal"])
            for request in [r for r in self._requests if r["id"] == message["kill"]]:
                self._requests.remove(request)
                self._reply({"id": request["id"], "exit": -message["signal"]})
        else:
            self._requests.append(message)

    def _start_ready(self) -> None:
        """Fork what needs no module that is still to come."""
        for request in list(self._requests):
            arguments = step_of(request["command"])
            if arguments and arguments[0] in self._missing:
                continue
            self._requests.remove(request)
            pid = os.fork()
            if pid == 0:
                code = invocation.FAULT
                try:
                    code = self._become(request, arguments)
                except SystemExit as end:  # as the interpreter would: a number, or nothing for 0
                    code = end.code if isinstance(end.code, int) else int(end.code is not None)
                except BaseException:  # noqa: BLE001 - whatever it is, a fork must never go on as a second server
                    traceback.print_exc()
                finally:
                    _leave(code)
            self._children[pid] = request["id"]
            self._reply({"id": request["id"], "pid": pid})

    def _become(self, request: dict[str, Any], arguments: tuple[str, ...] | None) -> int:
        """In the child: take on the step's environment, then run it."""
        atexit._clear()  # noqa: SLF001 - what the parent registered is the parent's to clean up
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in (self._replies, self._woken):
            os.close(descriptor)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 - likewise
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        # Held by this process and its children: a second run waits until what a killed one left is gone.
        lock = os.open(f"{request['log']}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        os.set_inheritable(lock, True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if arguments is not None:
            return invocation.main(arguments, os.environ, self._steps)
        command = request["command"]
        try:
            os.execvpe(command[0], command, os.environ)  # noqa: S606 - the manifest says what to run
        except OSError as error:
            sys.stderr.write(f"error: {command[0]} cannot be started: {error.strerror}\n")
        return _NOT_STARTED

    def _reap(self) -> None:
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                _kill(pid, signal.SIGKILL)  # what the step left running in its process group
                self._reply({"id": self._children.pop(pid), "exit": os.waitstatus_to_exitcode(status)})

    def _end(self) -> None:
        for pid in self._children:
            _kill(pid, signal.SIGKILL)

    def _reply(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the runner is gone: the end of standard input says so too
            os.write(self._replies, json.dumps(message).encode() + b"\n")


def _leave(code: int) -> NoReturn:
    """End a forked child as multiprocessing does, without the C library's own exit handlers.

    Those wait for native threads that a fork does not have: with torch and onnxruntime loaded they hung for good.
    """
    # Joins the step's threads and executors. Twice: one that is collected just then closes the pipe that is written to.
    join = threading._shutdown  # type: ignore[attr-defined] # noqa: SLF001
    own_handlers = atexit._run_exitfuncs  # noqa: SLF001 - the parent's were cleared
    end_workers = multiprocessing.util._exit_function  # type: ignore[attr-defined] # noqa: SLF001
    for end in (join, join, own_handlers, end_workers):
        with suppress(Exception):  # the step has ended: its exit code stands
            end()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def main(arguments: list[str]) -> None:
    """Serve with the catalogue `package.module:NAME`, and the steps whose modules are imported first."""
    catalogue, preload = arguments
    module, _, name = catalogue.partition(":")
    Server(getattr(import_module(module), name), tuple(preload.split(","))).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
    # The libraries' exit handlers are not worth waiting for: nothing here is to be written or freed.
    sys.stderr.flush()
    os._exit(0)
