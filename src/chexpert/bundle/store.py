"""Bundles in a store: written once under their digest, verified whenever they are read."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from chexpert.bundle.card import CARD, MODEL, REFERENCE, Card
from chexpert.bundle.errors import BrokenBundle, BundleUnavailable
from chexpert.domain.digests import of_bytes

__all__ = ["Bundle", "BundleRef", "fetch", "write"]

_NAME: Final = re.compile(r"sha256-([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class BundleRef:
    """Where a bundle lies, and what it must be."""

    uri: str
    """Ends with sha256-<digest>."""
    digest: str
    """Sha256 of its card.json, 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle on this machine's disk."""

    card: Card
    folder: Path
    digest: str

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.folder / MODEL

    def read_model(self) -> bytes:
        """The ONNX graph, held against the card once more: the file may have been replaced since it was verified.

        Raises:
            BrokenBundle: It was.
        """
        return _whole(self.model, str(self.folder), self.card.files[MODEL])

    @property
    def reference(self) -> Path:
        """Parquet: 14 score columns named as the observations, priority, and the image statistics."""
        return self.folder / REFERENCE


def write(root_uri: str, card: Card, files: Mapping[str, bytes | Path]) -> BundleRef:
    """Write a bundle below `root_uri` and say where. Idempotent: the same content lands in the same place.

    Args:
        root_uri: Folder or fsspec URL that holds bundles.
        card: Its `files` are replaced by the sha256 of what is given here.
        files: Content by name; model.onnx and reference.parquet are required.

    Raises:
        BrokenBundle: A required file is missing, or the card could not be read back.
    """
    contents = {name: data.read_bytes() if isinstance(data, Path) else data for name, data in files.items()}
    full = card.with_files({name: of_bytes(data) for name, data in contents.items()})
    text = full.to_json()
    Card.from_json(text, where=f"to be written to {root_uri}")
    ref = BundleRef(f"{root_uri.rstrip('/')}/sha256-{full.digest}", full.digest)
    filesystem, folder = url_to_fs(ref.uri)
    if filesystem.exists(f"{folder}/{CARD}") and filesystem.cat_file(f"{folder}/{CARD}") == text.encode():
        return ref
    filesystem.makedirs(folder, exist_ok=True)
    for name, data in contents.items():
        filesystem.pipe_file(f"{folder}/{name}", data)
    # The card comes last: a write that was cut short leaves no bundle, only files that the next write replaces.
    filesystem.pipe_file(f"{folder}/{CARD}", text.encode())
    return ref


def fetch(uri: str, expected_digest: str | None, cache: Path) -> Bundle:
    """Bring a bundle to this machine and verify every byte of it.

    Args:
        uri: Local folder (verified in place, also one that KServe mounted) or fsspec URL.
        expected_digest: Sha256 of its card.json; None: taken from the URI's last part where that names one.
        cache: Folder for copies of remote bundles, by digest.

    Raises:
        BrokenBundle: Saying which file is missing, extra or altered, or what in the card is wrong.
        BundleUnavailable: The store did not answer.
    """
    named = _NAME.fullmatch(uri.rstrip("/").rsplit("/", 1)[-1])
    if expected_digest and named and named[1] != expected_digest:
        raise BrokenBundle(uri, f"its name is another digest than the expected {expected_digest}")
    expected = expected_digest or (named[1] if named else None)
    filesystem, path = url_to_fs(uri)
    if isinstance(filesystem, LocalFileSystem):
        return _verify(Path(path), uri, expected)
    if expected and (cache / f"sha256-{expected}" / CARD).exists():
        return _verify(cache / f"sha256-{expected}", uri, expected)
    return _download(filesystem, path, uri, expected, cache)


def _download(filesystem: Any, path: str, uri: str, expected: str | None, cache: Path) -> Bundle:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="part-") as part:
        incoming = Path(part) / "bundle"
        incoming.mkdir()
        try:
            for source in filesystem.ls(path, detail=False):
                filesystem.get_file(source, str(incoming / source.rstrip("/").rsplit("/", 1)[-1]))
        except FileNotFoundError as error:
            raise BrokenBundle(uri, "nothing lies there") from error
        except OSError as error:
            raise BundleUnavailable(uri) from error
        bundle = _verify(incoming, uri, expected)
        target = cache / f"sha256-{bundle.digest}"
        if target.exists():  # an altered copy, or another process was faster
            shutil.rmtree(target)
        incoming.rename(target)
    return Bundle(bundle.card, target, bundle.digest)


def _verify(folder: Path, uri: str, expected: str | None) -> Bundle:
    try:
        data = (folder / CARD).read_bytes()
    except FileNotFoundError as error:
        raise BrokenBundle(uri, f"it has no {CARD}") from error
    digest = of_bytes(data)
    if expected and digest != expected:
        raise BrokenBundle(uri, f"{CARD} has sha256 {digest}, expected {expected}")
    card = Card.from_json(data.decode(errors="replace"), where=uri)
    present = {entry.name for entry in folder.iterdir()}
    if missing := sorted(card.files.keys() - present):
        raise BrokenBundle(uri, f"it lacks {', '.join(missing)}")
    if extra := sorted(present - card.files.keys() - {CARD}):
        raise BrokenBundle(uri, f"its card does not know {', '.join(extra)}")
    for name, sha256 in card.files.items():
        _whole(folder / name, uri, sha256)
    return Bundle(card, folder, digest)


def _whole(file: Path, uri: str, sha256: str) -> bytes:
    data = file.read_bytes()
    if (found := of_bytes(data)) != sha256:
        raise BrokenBundle(uri, f"{file.name} has sha256 {found}, its card says {sha256}")
    return data
