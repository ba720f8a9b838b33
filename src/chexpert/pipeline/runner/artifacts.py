"""Artifacts on disk: their digests, and how they get from one step to the next."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

__all__ = ["digest", "place", "write_atomically"]


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's file names and digests."""
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        return sha256("\n".join(f"{name} {digest(path / name)}" for name in names).encode()).hexdigest()
    with path.open("rb") as file:
        whole = sha256()
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.hexdigest()


def place(source: Path, target: Path) -> None:
    """Copy a file or folder, so that the taker can't change what the giver gave."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def write_atomically(path: Path, text: str) -> None:
    """Write so that a kill at any moment leaves the old text or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
