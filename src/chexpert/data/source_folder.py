"""The folder of a source, on this machine or in an object store: what a reader of tables and images asks of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from chexpert.data import checksum_record, checksums, objects
from chexpert.data.stored import Store, Stored

__all__ = ["SourceFolder", "open_folder"]

Progress = Callable[[int, int], None] | None


class SourceFolder(ABC):
    """Names are relative to the folder; addresses are what a manifest holds."""

    def __init__(self, address: str) -> None:
        self.address = address
        """Absolute path, or URI."""

    @property
    def name(self) -> str:
        """Last part of the address."""
        return PurePosixPath(self.address).name

    def address_of(self, name: str) -> str:
        """Path or URI of one file."""
        return f"{self.address.rstrip('/')}/{PurePosixPath(name)}"

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def folders(self) -> list["SourceFolder"]:
        """Those directly in it, by name."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A whole file; an OSError where it cannot be read."""

    @abstractmethod
    def sha256(self, addresses: Sequence[str], progress: Progress = None) -> list[str]:
        """Checksum of each file, empty where it is missing."""


def open_folder(where: SourceFolder | Path | str) -> SourceFolder:
    """Open a path or an fsspec URI. In an object store that lists everything below it, once.

    Raises:
        UnreadableData: no such store or bucket, or access denied.
        SourceUnavailable: the store does not answer.
    """
    if isinstance(where, SourceFolder):
        return where
    if "://" not in str(where):
        return _Local(Path(where).resolve())
    store = Store(str(where))
    if (path := objects.local_path(store.uri)) is not None:
        return _Local(path.resolve())
    listing = store.listing()
    return _Remote(store, listing, checksum_record.read(store, listing))


class _Local(SourceFolder):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def address_of(self, name: str) -> str:
        return str(self._path / name)

    def has(self, name: str) -> bool:
        return (self._path / name).exists()

    def folders(self) -> list[SourceFolder]:
        return [_Local(path) for path in sorted(self._path.glob("*")) if path.is_dir()]

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def sha256(self, addresses: Sequence[str], progress: Progress = None) -> list[str]:
        return checksums.of_files([Path(address) for address in addresses], progress)


class _Remote(SourceFolder):
    """A prefix of a store; `_folder` is the part below the listed one, empty or with a slash at its end."""

    def __init__(self, store: Store, listing: Mapping[str, Stored], known: Mapping[str, str], folder: str = "") -> None:
        super().__init__(store.uri_of(folder).rstrip("/"))
        self._store = store
        self._listing = listing
        self._known = known
        self._folder = folder

    def has(self, name: str) -> bool:
        return f"{self._folder}{name}" in self._listing

    def folders(self) -> list[SourceFolder]:
        below = (name[len(self._folder) :] for name in self._listing if name.startswith(self._folder))
        names = sorted({name.partition("/")[0] for name in below if "/" in name})
        return [_Remote(self._store, self._listing, self._known, f"{self._folder}{name}/") for name in names]

    def read(self, name: str) -> bytes:
        return self._store.read(f"{self._folder}{name}")

    def sha256(self, addresses: Sequence[str], progress: Progress = None) -> list[str]:
        names = [address.removeprefix(self._store.uri_of("")) for address in addresses]
        return checksums.of_objects(self._store, names, self._listing, self._known, progress)
