"""The run folder: who works in it, and run.json, which says what runs there."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chexpert.domain.errors import InputError
from chexpert.pipeline.runner.artifacts import write_atomically

__all__ = ["RunInUse", "fresh", "locked", "note"]


class RunInUse(InputError):
    """Another process works in the same run folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another run works in {folder}: wait for it, or give another --run-folder")
        self.folder = folder


def fresh(root: Path, workflow: str) -> Path:
    """A folder under `root` for a new run, numbered from 1; made at once, so that no other run takes it."""
    number = 1
    while True:
        folder = root / f"{workflow}-{number:04d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one run; the kernel lets go of it when this process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunInUse(folder) from error
        yield


def note(folder: Path, workflow: Path, parameters: Mapping[str, str], status: str) -> None:
    """Write run.json."""
    content = {"workflow": str(workflow), "parameters": dict(parameters), "status": status}
    write_atomically(folder / "run.json", json.dumps(content, indent=2))
