"""Small programs to supervise, and a git repository to follow."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chexpert.local.processes import Process


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Makes a process of a Python text, its log in a file; whatever still runs at the end is stopped."""
    made: list[Process] = []

    def make(text: str, *arguments: str, name: str = "child", environment: dict[str, str] | None = None) -> Process:
        command = [sys.executable, "-u", "-c", textwrap.dedent(text), *arguments]
        made.append(Process(name, command, environment or {}, tmp_path / f"{name}.log"))
        return made[-1]

    yield make
    for each in made:
        each.stop(grace_s=1)


class Origin:
    """A bare repository with one file on its main branch, and the clone of somebody who pushes to it."""

    def __init__(self, folder: Path) -> None:
        self.bare, self._clone = folder / "origin.git", folder / "somebody"
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--bare", str(self.bare))
        git(folder, "clone", "--quiet", str(self.bare), str(self._clone))
        git(self._clone, "checkout", "--quiet", "-B", "main")
        self.push("first")

    def push(self, text: str, *, rewrite: bool = False) -> None:
        """Commit a text; with `rewrite`, in the place of the last commit."""
        (self._clone / "file").write_text(text)
        git(self._clone, "add", "file")
        git(self._clone, "commit", "--quiet", "-m", text, *(["--amend"] if rewrite else []))
        git(self._clone, "push", "--quiet", "--force", "origin", "main")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    # The clone of an empty repository warns on stderr, which is nobody's business here.
    return Origin(tmp_path / "git")
