"""The embedded platform: site, worker, staging and production servers, and the served worktree, supervised."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from chexpert.domain.errors import ChexpertError
from chexpert.domain.places import Places
from chexpert.gitops.repository import seed
from chexpert.local.home import Home, free_port
from chexpert.local.processes import Process
from chexpert.local.worktree import ServedWorktree

__all__ = ["AlreadyRunning", "Platform", "PlatformSettings"]

PORTS = {"site": 8800, "production": 8801, "staging": 8802}
"""Preferred ports; a taken one is replaced by a free one. run/platform.json says which are in use."""

ORPHAN_S = 15.0
"""How long a server left by a killed supervisor may take to drain."""
_BIRTH = 18
"""Place of `starttime` behind the state in /proc/<pid>/stat: field 22, the state being field 3 (proc(5))."""
START_S = 90.0
"""How long a server may take to answer for the first time: importing kserve takes 3.5 s on an idle core."""


class AlreadyRunning(ChexpertError):
    """Another supervisor holds this home."""

    def __init__(self, home: Path, pid: int) -> None:
        super().__init__(f"a platform already runs in {home} (process {pid}): end it, or choose another --home")
        self.pid = pid


class PlatformSettings:
    """How the platform starts its servers."""

    def __init__(self, *, kserve: Path, serve: Mapping[str, Sequence[str]] | None = None) -> None:
        self.kserve = kserve
        """The checkout's kserve/ folder, from which an empty gitops repository is seeded."""
        self.serve = dict(serve or {})
        """By environment, a command to put in front of the arguments of `chexpert serve`; default: that command."""


class Platform:
    """Context manager: on entry everything runs and answers; on exit everything has drained and ended."""

    def __init__(self, home: Home, settings: PlatformSettings) -> None:
        self._home = home
        self._settings = settings
        self._processes: list[Process] = []
        self._worktree = ServedWorktree(home.gitops, home.served)
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._run_file = home.run / "platform.json"
        self._ports: dict[str, int] = {}
        self.places = Places()
        """Addresses of everything; servers' URLs are filled on entry."""

    def __enter__(self) -> Self:
        self._home.create()
        self._claim()
        try:
            seed(self._home.gitops, self._settings.kserve)
            self._worktree.start()
            ports = {name: free_port(port) for name, port in PORTS.items()}
            self.places = self._home.places_with(ports)
            self._start(ports)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=10)
        for process in reversed(self._processes):
            process.stop()
        self._worktree.stop()
        self._run_file.unlink(missing_ok=True)

    def _claim(self) -> None:
        """Refuse a second supervisor; end what one that was killed left running."""
        if self._run_file.exists():
            earlier = json.loads(self._run_file.read_text())
            pid, birth = int(earlier.get("pid", 0)), earlier.get("birth", "")
            if pid != os.getpid() and _runs(pid, birth):
                raise AlreadyRunning(self._home.path, pid)
            for orphan, born in earlier.get("children", {}).values():
                _end_orphan(orphan, born)
        self._write_run_file()

    def _write_run_file(self, ports: Mapping[str, int] | None = None) -> None:
        children = {p.name: (p.pid, _birth(p.pid)) for p in self._processes if p.pid is not None}
        own = {"pid": os.getpid(), "birth": _birth(os.getpid())}
        text = json.dumps({**own, **(ports or {}), "children": children})
        partial = self._run_file.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(self._run_file)

    def _start(self, ports: Mapping[str, int]) -> None:
        environment = self.places.to_environment()
        for name, command in self._commands(ports).items():
            process = Process(name, command, environment, self._home.logs / f"{name}.log")
            process.start()
            self._processes.append(process)
            self._write_run_file()
        health = {"site": "/healthz", "production": "/v2/health/live", "staging": "/v2/health/live"}
        for process in self._processes:
            if process.name in health:
                url = f"http://127.0.0.1:{ports[process.name]}{health[process.name]}"
                process.wait_answering(url, timeout_s=START_S)
        self._write_run_file(ports)
        self._ports = dict(ports)

    def _commands(self, ports: Mapping[str, int]) -> dict[str, list[str]]:
        chexpert = [sys.executable, "-m", "chexpert"]
        commands = {}
        for environment in ("production", "staging"):
            prefix = self._settings.serve.get(environment, [*chexpert, "serve"])
            commands[environment] = [
                *prefix,
                f"--manifest={self._home.manifest(environment)}",
                f"--objects={self.places.objects}",
                f"--port={ports[environment]}",
                "--grpc-port=0",
                f"--run-file={self._home.run / environment}.json",
            ]
        commands["site"] = [
            *chexpert,
            "site",
            f"--port={ports['site']}",
            f"--run-file={self._home.run / 'site.json'}",
        ]
        commands["worker"] = [*chexpert, "worker"]
        return commands

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            if [process for process in self._processes if process.revive()]:
                self._write_run_file(self._ports)


def _birth(pid: int) -> str:
    """Clock ticks from boot to the start of the process of that number; empty: none runs."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else rest[_BIRTH]


def _runs(pid: int, birth: str) -> bool:
    """Whether that very process runs: a number alone may have been given anew, to anybody."""
    return bool(birth) and _birth(pid) == birth


def _end_orphan(pid: int, birth: str) -> None:
    """End a server whose supervisor was killed; it drains as at any SIGTERM."""
    deadline = time.monotonic() + ORPHAN_S
    while _runs(pid, birth) and time.monotonic() < deadline:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)
    if _runs(pid, birth):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
