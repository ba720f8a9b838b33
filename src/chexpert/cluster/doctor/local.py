"""What this machine needs to run the platform by itself."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chexpert.cluster.doctor.findings import Finding, State
from chexpert.cluster.doctor.versions import version

__all__ = ["examine"]

_PYTHON: Final = (3, 11)
_GIT: Final = (2, 30, 0)
_DISK_GB: Final = 5.0
"""A demo writes under 1 GB, real images take more: a warning well before the disk is full."""


def examine(folder: Path, ports: tuple[int, ...]) -> Iterator[Finding]:
    """Python, git, ports and disk.

    Args:
        folder: Where the platform keeps everything; it need not exist.
        ports: That the servers would like to have.
    """
    yield _python()
    yield _git()
    yield from (_port(port) for port in ports)
    yield _disk(folder)


def _python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    state = State.OK if sys.version_info[:2] >= _PYTHON else State.TOO_OLD
    return Finding("Python", state, f"{found}, {sys.executable}", "make install PYTHON=python3.11" * state.bad)


def _git() -> Finding:
    program = shutil.which("git")
    if program is None:
        return Finding("git", State.MISSING, "not on PATH", "install the package git")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - found on PATH
    number = version(done.stdout)
    state = State.TOO_OLD if number is None or number < _GIT else State.OK
    return Finding("git", state, done.stdout.strip(), "install a newer git" * state.bad)


def _port(port: int) -> Finding:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return Finding(f"Port {port}", State.OK, "taken: `chexpert up` takes another, and var/run says which")
    return Finding(f"Port {port}", State.OK, "free")


def _disk(folder: Path) -> Finding:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    state = State.OK if free_gb >= _DISK_GB else State.MISSING
    remedy = f"free {_DISK_GB:g} GB, or name another folder"
    return Finding("Disk", state, f"{free_gb:.1f} GB free at {there}", remedy * state.bad)
