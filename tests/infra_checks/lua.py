"""Argo CD's sandbox for health rules (its util/lua, 3.6.1), with a clock that stands still; and Argo CD itself."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lupa.lua51 import LuaRuntime

from infra_checks.builds import HARNESS

__all__ = ["Health", "NoArgoCD", "argo_cd_says", "health_of"]

Health = tuple[str, str]
"""Status and message."""


class NoArgoCD(Exception):
    """Argo CD's program is not here."""

    def __init__(self) -> None:
        super().__init__(f"no argocd on PATH or in {HARNESS}: the rules ran in the tests' own sandbox alone")


def argo_cd_says(settings: Path, observed: Path) -> Health:
    """What Argo CD's own program says of an object, now.

    Args:
        settings: The ConfigMap argocd-cm as a file.
        observed: The object as a file.

    Raises:
        NoArgoCD: It is not here.
        AssertionError: It failed; its words.
    """
    program = shutil.which("argocd", path=f"{os.environ.get('PATH', '')}{os.pathsep}{HARNESS}")
    if program is None:
        raise NoArgoCD
    command = [program, "admin", "settings", "resource-overrides", "health", str(observed)]
    done = subprocess.run(
        [*command, "--argocd-cm-path", str(settings)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    status, _, message = done.stdout.strip().partition("\n")
    return status.removeprefix("STATUS: "), message.removeprefix("MESSAGE:").strip()


def health_of(rule: Path, observed: dict[str, Any], now: datetime) -> Health:
    """What a rule says of an object at a time.

    Only the base and table libraries are there, and `os` by require with `time` and `date`: like Argo CD's, its `date`
    takes a given time as local even when the format says UTC.

    Raises:
        lupa.lua51.LuaError: The rule fails, as it would in Argo CD.
    """
    runtime = LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    seconds = now.astimezone(UTC).timestamp()
    os_date, os_time = runtime.eval("os.date"), runtime.eval("os.time")

    def date(text: str, at: float | None = None) -> Any:
        if at is None:
            return os_date(text, seconds)
        return os_date(text.removeprefix("!"), at)

    def time(at: Any = None) -> float:
        return seconds if at is None else os_time(at)

    libraries = {"os": runtime.table_from({"date": date, "time": time})}
    remove = runtime.eval("function(name) _G[name] = nil end")
    runtime.eval('function() debug.setmetatable("", nil) end')()
    for name in ("string", "math", "io", "os", "debug", "coroutine", "package", "python", "loadfile", "dofile"):
        remove(name)
    runtime.globals()["require"] = libraries.__getitem__
    runtime.globals()["obj"] = runtime.table_from(observed, recursive=True)
    result = runtime.execute(rule.read_text(encoding="utf-8"))
    return str(result["status"]), str(result["message"]).strip()
