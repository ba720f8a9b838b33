"""A folder copied to object storage: in parallel, verified, and gone on with where an earlier run was stopped."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from typing import Final

from chexpert.data import checksum_record, objects
from chexpert.data.checksums import CONNECTIONS, in_order
from chexpert.data.errors import UnreadableData
from chexpert.data.stored import Store, Stored
from chexpert.domain.errors import RetryableError

__all__ = ["NotUploaded", "Uploaded", "upload"]

_BLOCK: Final = 1 << 20
"""Bytes read from a file at a time."""


class NotUploaded(RetryableError):
    """Objects are not what their files are: something else wrote at the same time."""

    def __init__(self, uris: Sequence[str]) -> None:
        super().__init__(f"{len(uris)} objects differ from their files, the first is {uris[0]}: upload again")
        self.uris = tuple(uris)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did."""

    files: int
    """Files that now lie in the store, as they are in the folder."""
    sent: int
    """Those of them that did not lie there before."""
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    md5: str
    sha256: str


def upload(folder: Path, uri: str, *, progress: Callable[[int, int], None] | None = None) -> Uploaded:
    """Copy every file of a folder to the same name below `uri`, without those whose name begins with a dot.

    What lies there with the same bytes is not sent again: size and MD5 tag of the listing say so, and where the tag is
    none, the object is read back and its SHA-256 compared. What was sent is verified alike. Tables (.csv) go last, so
    that a reader who finds them finds their images too; then `checksums.parquet`, which saves the reader the bytes.
    Objects without a file stay as they are.

    Args:
        folder: on this machine.
        uri: prefix in an existing bucket, such as s3://chexpert/uploads.
        progress: called with files done and their number.

    Raises:
        UnreadableData: no file, no such bucket, an address of this machine, or access denied.
        NotUploaded: files or objects changed meanwhile; upload again.
        SourceUnavailable: no answer; uploading again goes on from there.
    """
    names = _names(folder)
    if objects.local_path(uri) is not None:
        raise UnreadableData(uri, reason="lies on this machine: name an object store, such as s3://bucket/prefix")
    store = Store(uri)
    there = store.listing()
    done: dict[str, _File] = {}
    sent: list[str] = []

    def send(name: str) -> _File:
        file = _read(folder / name)
        if not _is_there(store, name, file, there):
            store.put(name, file.path)
            sent.append(name)
        return file

    for part in ([name for name in names if not _is_table(name)], [name for name in names if _is_table(name)]):
        first, before = len(done), len(sent)
        tell = None if progress is None else lambda n, _, first=first: progress(first + n, len(names))
        done |= zip(part, in_order(send, part, CONNECTIONS, tell), strict=True)
        there = store.listing() if part else there
        _verify(store, {name: done[name] for name in sent[before:]}, there)
    checksum_record.write(uri, {name: file.sha256 for name, file in done.items()}, there)
    return Uploaded(len(done), len(sent), sum(done[name].size for name in sent))


def _names(folder: Path) -> list[str]:
    # Links are followed: people put a large data set together from where its parts lie.
    walked = os.walk(folder, followlinks=True)
    paths = (Path(place, name) for place, _, names in walked for name in names if not name.startswith("."))
    names = sorted(path.relative_to(folder).as_posix() for path in paths if path.is_file())
    names = [name for name in names if name != checksum_record.RECORD]
    if not names:
        raise UnreadableData(str(folder), reason="no file in it")
    return names


def _is_table(name: str) -> bool:
    return name.endswith(".csv")


def _read(path: Path) -> _File:
    size, tag, digest = 0, md5(usedforsecurity=False), sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                size += len(block)
                tag.update(block)
                digest.update(block)
    except OSError as error:
        raise UnreadableData(str(path), reason=f"cannot be read: {error.strerror}") from error
    return _File(path, size, tag.hexdigest(), digest.hexdigest())


def _is_there(store: Store, name: str, file: _File, listing: Mapping[str, Stored]) -> bool:
    found = listing.get(name)
    if found is None or found.size != file.size:
        return False
    return found.etag == file.md5 or store.sha256(name, found.size) == file.sha256


def _verify(store: Store, files: Mapping[str, _File], listing: Mapping[str, Stored]) -> None:
    same = in_order(lambda name: _is_there(store, name, files[name], listing), list(files), CONNECTIONS)
    if wrong := [store.uri_of(name) for name, is_same in zip(files, same, strict=True) if not is_same]:
        raise NotUploaded(wrong)
