"""Preprocessed pixels: shards of uint8 (N, H, W), written once, memory-mapped in training."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chexpert.data import objects
from chexpert.data.errors import MissingPixels, Refusal, UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.shard_build import Known, build_shards, join_shards
from chexpert.data.shard_files import CAPACITY, Index, Shard, digest_of_file
from chexpert.data.shard_plan import ShardPlan
from chexpert.imaging.preprocess import PreprocessSpec

__all__ = ["Joined", "Refusal", "Shards", "build", "build_part", "count", "join"]


class Shards:
    """Pixels by image checksum. Sends only its address to another process, which maps the files itself."""

    def __init__(self, uri: str, index: Index, folder: Path, shards: Sequence[Shard]) -> None:
        self.uri = uri
        self.size = index.size
        self.digest = index.digest
        self.spec = PreprocessSpec.from_dict(index.preprocess)
        self._index = index
        self._folder = folder
        self._arrays = [np.load(folder / shard.file, mmap_mode="r") for shard in shards]
        keys = [key for shard in shards for key in shard.images]
        refused = [n * index.capacity + slot for n, shard in enumerate(shards) for slot in shard.refused]
        self._usable = np.ones(len(keys), np.bool_)
        self._usable[refused] = False
        self._keys = np.array(keys, "S64")
        self._order = np.argsort(self._keys, kind="stable")

    @classmethod
    def open(cls, uri: str, *, cache: Path | None = None) -> Self:
        """Open the folder that `build` wrote.

        Args:
            uri: folder or fsspec URI.
            cache: folder into which shards from elsewhere are copied once; default: one under the system's
                temporary folder, named by digest.

        Raises:
            UnreadableData: what is missing or broken.
        """
        index = Index.read(uri)
        try:
            shards = [Shard.read(uri, file) for file in index.shards]
        except FileNotFoundError as error:
            raise UnreadableData(uri, reason=f"incomplete: {error.filename} is missing") from error
        folder = objects.local_path(uri) or _copied(uri, index, cache)
        return cls(uri, index, folder, shards)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_in_cache, (self.uri, self._folder)

    def __len__(self) -> int:
        """Images that have pixels."""
        return int(self._usable.sum())

    def contains(self, sha256s: Sequence[str] | NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each image has pixels here."""
        return self._rows(sha256s) >= 0

    def find(self, sha256s: Sequence[str] | NDArray[Any]) -> NDArray[np.int64]:
        """Rows of images by checksum; MissingPixels if any has none."""
        rows = self._rows(sha256s)
        if (rows < 0).any():
            missing = np.asarray(sha256s)[rows < 0]
            raise MissingPixels(self.uri, tuple(str(key) for key in missing))
        return rows

    def take(self, rows: NDArray[np.integer[Any]] | Sequence[int]) -> NDArray[np.uint8]:
        """Pixels (n, 1, H, W) of rows from `find`, in their order; IndexError for any other row."""
        wanted = np.asarray(rows, np.int64)
        if wanted.size and (wanted.min() < 0 or not self._usable[wanted].all()):
            msg = f"{self.uri}: rows without pixels were asked for"
            raise IndexError(msg)
        pixels = np.empty((len(wanted), 1, self.size, self.size), np.uint8)
        shard, slot = np.divmod(wanted, self._index.capacity)
        for number in np.unique(shard):
            here = shard == number
            pixels[here, 0] = self._arrays[number][slot[here]]
        return pixels

    def verify(self) -> None:
        """Read every shard and compare its digest; UnreadableData names the first that differs."""
        for file, digest in self._index.shards.items():
            if digest_of_file(self._folder / file) != digest:
                raise UnreadableData(
                    objects.child(self.uri, file), reason="its digest is another than shards.json says"
                )

    def _rows(self, sha256s: Sequence[str] | NDArray[Any]) -> NDArray[np.int64]:
        """Row of each image, -1 where it has no pixels."""
        wanted = np.asarray(sha256s).astype("S64")
        if not len(self._keys):
            return np.full(len(wanted), -1, np.int64)
        position = np.searchsorted(self._keys, wanted, sorter=self._order)
        rows = self._order[np.minimum(position, len(self._keys) - 1)].astype(np.int64)
        return np.where((self._keys[rows] == wanted) & self._usable[rows], rows, -1)


def build(
    manifest: Manifest,
    target_uri: str,
    spec: PreprocessSpec,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    reuse: Shards | None = None,
    capacity: int = CAPACITY,
) -> tuple[Manifest, Shards, tuple[Refusal, ...]]:
    """Decode and preprocess every image once; go on after a kill where the last complete shard ended.

    Args:
        manifest: each distinct checksum is rendered once.
        target_uri: folder for shards, on this machine or elsewhere; complete shards of the same images are kept.
        spec: preprocessing.
        workers: processes; default: all cores. One works in this process.
        progress: called with images done and their number.
        reuse: shards of the same preprocessing whose pixels are copied instead of rendered again.
        capacity: images per shard.

    Returns:
        The manifest without refused rows, the shards, and one refusal for each row left out.
    """
    plan = ShardPlan.of(manifest, capacity)
    build_shards(
        plan, range(plan.count), target_uri, spec, workers=workers, progress=progress, known=_known(reuse, spec)
    )
    joined = join(manifest, target_uri, spec, capacity=capacity)
    return joined.manifest, Shards.open(target_uri), joined.refusals


def count(manifest: Manifest, *, capacity: int = CAPACITY) -> int:
    """How many shards the images of a manifest make."""
    return ShardPlan.of(manifest, capacity).count


def build_part(
    manifest: Manifest,
    number: int,
    target_uri: str,
    spec: PreprocessSpec,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    capacity: int = CAPACITY,
) -> None:
    """Write one shard of a manifest, counted from 0, byte for byte as `build` does; a complete one is kept.

    Raises:
        IndexError: there is no such shard.
    """
    plan = ShardPlan.of(manifest, capacity)
    build_shards(plan, [number], target_uri, spec, workers=workers, progress=progress, known=None)


@dataclass(frozen=True, slots=True)
class Joined:
    """All shards of a manifest under one index."""

    manifest: Manifest
    """Without refused rows."""
    uri: str
    digest: str
    """Of preprocessing and pixels."""
    refusals: tuple[Refusal, ...]
    """One for each row left out."""


def join(manifest: Manifest, target_uri: str, spec: PreprocessSpec, *, capacity: int = CAPACITY) -> Joined:
    """Write shards.json over the shards that `build_part` wrote; reads no pixels.

    Raises:
        UnreadableData: a shard is missing, or holds other images.
    """
    index, reasons = join_shards(ShardPlan.of(manifest, capacity), target_uri, spec)
    columns = zip(*(manifest.column(name) for name in ("study", "sha256", "image_path")), strict=True)
    refused = {
        row: Refusal(study, sha256, reasons[sha256], path)
        for row, (study, sha256, path) in enumerate(columns)
        if sha256 in reasons
    }
    kept = manifest.select(np.setdiff1d(np.arange(len(manifest)), list(refused))) if refused else manifest
    return Joined(kept, target_uri, index.digest, tuple(refused.values()))


def _known(reuse: Shards | None, spec: PreprocessSpec) -> Known | None:
    if reuse is None or reuse.spec != spec:
        return None
    return reuse.contains, lambda keys: reuse.take(reuse.find(keys))


def _copied(uri: str, index: Index, cache: Path | None) -> Path:
    folder = (cache or Path(tempfile.gettempdir()) / "chexpert-shards") / index.digest
    for file, digest in index.shards.items():
        copy = folder / file
        if not copy.exists() or digest_of_file(copy) != digest:
            objects.download(objects.child(uri, file), copy)
    return folder


def _open_in_cache(uri: str, folder: Path) -> Shards:
    return Shards.open(uri, cache=folder.parent)
