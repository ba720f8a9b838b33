"""Reading and writing whole objects by fsspec URI, each write visible only when complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

__all__ = ["child", "download", "exists", "find", "is_reachable", "local_path", "read_bytes", "staged", "write_bytes"]


def local_path(uri: str) -> Path | None:
    """The path on this machine that `uri` names, or None if it lies elsewhere."""
    fs, path = _locate(uri)
    return Path(path) if isinstance(fs, LocalFileSystem) else None


def child(uri: str, *parts: str) -> str:
    """URI of something below `uri`."""
    return "/".join([uri.rstrip("/"), *parts])


def exists(uri: str) -> bool:
    """Whether there is such an object or folder."""
    fs, path = _locate(uri)
    return bool(fs.exists(path))


def is_reachable(uri: str) -> bool:
    """Whether objects can be put below `uri` now, as far as that is known without putting one."""
    fs, path = _locate(uri)
    try:
        if isinstance(fs, LocalFileSystem):
            fs.makedirs(path, exist_ok=True)
            return os.access(path, os.W_OK)
        return bool(fs.exists(path.partition("/")[0]))  # the bucket: below it there need not be anything yet
    except OSError:
        return False


def read_bytes(uri: str) -> bytes:
    """The whole object; FileNotFoundError where there is none."""
    fs, path = _locate(uri)
    data: bytes = fs.cat_file(path)
    return data


def download(uri: str, path: Path) -> None:
    """Bring an object to this machine without holding it in memory; `path` appears when it is complete."""
    fs, source = _locate(uri)
    with staged(str(path)) as file:
        fs.get_file(source, str(file))


def write_bytes(uri: str, data: bytes) -> None:
    """Write the whole object at once; a reader sees the old bytes or the new ones."""
    with staged(uri) as file:
        file.write_bytes(data)


@contextmanager
def staged(uri: str) -> Iterator[Path]:
    """A local file to write; it becomes `uri` when the block ends without an error.

    On this machine it is renamed, in an object store it is one PUT.
    """
    fs, path = _locate(uri)
    if isinstance(fs, LocalFileSystem):
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.with_name(f".{target.name}.{uuid4().hex}")
        try:
            yield file
            file.replace(target)
        finally:
            file.unlink(missing_ok=True)
    else:
        with TemporaryDirectory(prefix="chexpert-") as folder:
            file = Path(folder) / "object"
            yield file
            fs.put_file(str(file), path)


def find(uri: str, suffix: str) -> list[str]:
    """URIs of all objects below `uri` whose name ends with `suffix`, sorted; none where nothing is there."""
    fs, path = _locate(uri)
    found = sorted(
        name for name in fs.find(path) if name.endswith(suffix) and not name.rpartition("/")[2].startswith(".")
    )
    return [fs.unstrip_protocol(name) for name in found]


def _locate(uri: str) -> tuple[Any, str]:
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, path
