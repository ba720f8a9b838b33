"""Bytes of uploads, stored by content."""

import os
from pathlib import Path
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from chexpert.domain import digests
from chexpert.domain.errors import ChexpertError

__all__ = ["ImageStore", "StoredBytesDiffer"]


class StoredBytesDiffer(ChexpertError):
    """An object is not what its name says."""

    def __init__(self, uri: str, found: str) -> None:
        super().__init__(f"{uri} holds bytes with the digest {found}: restore it from a copy")
        self.uri = uri
        self.found = found


class ImageStore:
    """Objects under images/, each named by the SHA-256 of its bytes. Threads may share it."""

    def __init__(self, objects: str) -> None:
        self._root = objects.rstrip("/")
        self._files, self._folder = fsspec.core.url_to_fs(f"{self._root}/images")

    def uri(self, sha256: str) -> str:
        """Address that the rest of the house reads."""
        return f"{self._root}/images/{sha256}"

    def put(self, data: bytes) -> str:
        """Store bytes and return their digest, once they are durable. Bytes already there are left as they are."""
        sha256 = digests.of_bytes(data)
        if isinstance(self._files, LocalFileSystem):
            _write_durably(Path(self._folder), sha256, data)
        elif not self._files.exists(f"{self._folder}/{sha256}"):
            self._files.pipe_file(f"{self._folder}/{sha256}", data)  # one PUT: all of it or nothing
        return sha256

    def read(self, sha256: str) -> bytes:
        """The bytes with this digest.

        Raises:
            StoredBytesDiffer: the object was changed.
            FileNotFoundError: it is gone.
        """
        data: bytes = self._files.cat_file(f"{self._folder}/{sha256}")
        if (found := digests.of_bytes(data)) != sha256:
            raise StoredBytesDiffer(self.uri(sha256), found)
        return data


def _write_durably(folder: Path, name: str, data: bytes) -> None:
    """Temporary name, fsync, move, fsync of the folder: after a power cut the file is whole or absent."""
    target = folder / name
    if target.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{uuid4().hex}"
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
