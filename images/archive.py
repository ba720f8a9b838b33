"""What a docker archive holds, and how large its layers are."""
# ruff: noqa: INP001

import gzip
import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO

__all__ = ["Image", "LayerSize", "known_layers", "measure", "remember"]

CHUNK_BYTES = 1 << 20
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class LayerSize:
    """Bytes of one layer."""

    compressed: int
    """As a registry keeps it, by gzip at its usual level."""
    unpacked: int


@dataclass(frozen=True)
class Image:
    """An image as its archive has it."""

    id: str
    """sha256 of its configuration."""
    platform: str
    """Operating system and architecture, as in linux/amd64."""
    layers: tuple[LayerSize, ...]


def known_layers(path: Path) -> dict[str, LayerSize]:
    """Returns what `remember` wrote; nothing where the file is not there."""
    return {layer: LayerSize(*sizes) for layer, sizes in json.loads(path.read_text()).items()} if path.exists() else {}


def remember(path: Path, known: dict[str, LayerSize]) -> None:
    """Writes sizes down: packing the layers of a torch again would take minutes."""
    path.write_text(json.dumps({layer: astuple(size) for layer, size in known.items()}, indent=0))


def measure(archive: Path, known: dict[str, LayerSize]) -> Image:
    """Reads what `docker save` writes, with layers as tar or as tar.gz.

    Args:
        archive: the file; it holds one image.
        known: sizes by layer; those found are added, so that a layer that images share is packed once.

    Raises:
        KeyError: it is no docker archive, or lacks a file that it names.
    """
    with tarfile.open(archive) as tar:
        (entry,) = json.load(_member(tar, "manifest.json"))
        raw = _member(tar, entry["Config"]).read()
    configuration = json.loads(raw)
    layers: list[str] = configuration["rootfs"]["diff_ids"]
    new = {layer: name for layer, name in zip(layers, entry["Layers"], strict=True) if layer not in known}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        known.update(zip(new, pool.map(lambda name: _size(archive, name), new.values()), strict=True))
    return Image(
        f"sha256:{hashlib.sha256(raw).hexdigest()}",
        f"{configuration['os']}/{configuration['architecture']}",
        tuple(known[layer] for layer in layers),
    )


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file


def _size(archive: Path, name: str) -> LayerSize:
    with tarfile.open(archive) as tar:
        layer = _member(tar, name)
        is_packed = layer.read(len(GZIP)) == GZIP
        layer.seek(0)
        if is_packed:
            return LayerSize(tar.getmember(name).size, sum(map(len, _chunks(gzip.GzipFile(fileobj=layer)))))
        packed, unpacked, packer = 0, 0, zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        for chunk in _chunks(layer):
            unpacked += len(chunk)
            packed += len(packer.compress(chunk))
        return LayerSize(packed + len(packer.flush()), unpacked)


def _chunks(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
