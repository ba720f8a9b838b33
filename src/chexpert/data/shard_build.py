"""Writes shards, on all cores, each complete or not at all."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from time import perf_counter
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from chexpert.data import objects
from chexpert.data.errors import UnreadableData
from chexpert.data.pixels import fill
from chexpert.data.shard_files import Index, Shard, digest_of_file
from chexpert.data.shard_plan import ShardPlan, Source
from chexpert.imaging.preprocess import PreprocessSpec

__all__ = ["Known", "build_shards", "join_shards"]

Known = tuple[Callable[[Sequence[str]], NDArray[np.bool_]], Callable[[Sequence[str]], NDArray[np.uint8]]]
"""Which images have pixels already, and their pixels (n, 1, H, W)."""

_CHUNK: Final = 32
"""Images per task: long enough to hide its overhead, short enough that cores end a shard together."""

_WORTH_STARTING_S: Final = 4.0
"""Work for one core above which other processes are started: that costs about a second on each core."""

_MISSING: Final = "no such file"

_Chunk = tuple[int, Sequence[Source]]
"""First slot, and the images of it and its neighbours."""


def build_shards(
    plan: ShardPlan,
    numbers: Sequence[int],
    target_uri: str,
    spec: PreprocessSpec,
    *,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
    known: Known | None,
) -> None:
    """Write these shards of a plan; those that are complete already are kept."""
    total = sum(len(plan.shard(number)) for number in numbers)
    report = _Progress(progress, total)
    with _Runner(workers, total, spec) as runner:
        builder = _Builder(target_uri, spec, known, runner, report)
        for number in numbers:
            builder.shard(plan.name(number), plan.key(number, spec), plan.shard(number))


def join_shards(plan: ShardPlan, target_uri: str, spec: PreprocessSpec) -> tuple[Index, dict[str, str]]:
    """Write shards.json over all shards of a plan, once each is there.

    Returns:
        The index, and image checksum to reason for those refused.

    Raises:
        UnreadableData: a shard is missing, or holds other images.
    """
    refused: dict[str, str] = {}
    digests: dict[str, str] = {}
    for number in range(plan.count):
        name = plan.name(number)
        try:
            shard = Shard.read(target_uri, name)
        except FileNotFoundError as error:
            raise UnreadableData(target_uri, reason=f"{name} is missing: build it before they are joined") from error
        if shard.key != plan.key(number, spec):
            raise UnreadableData(target_uri, reason=f"{name} holds other images than this manifest, or other pixels")
        digests[name] = shard.digest
        refused |= {shard.images[slot]: reason for slot, reason in shard.refused.items()}
    index = Index(spec.size, plan.capacity, spec.to_dict(), digests)
    index.write(target_uri)
    return index, plan.reasons(refused, _MISSING)


class _Progress:
    """Counts images and tells."""

    def __init__(self, tell: Callable[[int, int], None] | None, total: int) -> None:
        self._tell = tell
        self._total = total
        self._done = 0

    def add(self, images: int) -> None:
        self._done += images
        if self._tell is not None:
            self._tell(self._done, self._total)


@dataclass(frozen=True, slots=True)
class _Builder:
    """Writes one shard after the other into a folder."""

    target_uri: str
    spec: PreprocessSpec
    known: Known | None
    runner: "_Runner"
    report: _Progress

    def shard(self, name: str, key: str, images: Sequence[Source]) -> None:
        """Keep the shard of an earlier run if it is complete, else write it now."""
        if self._complete(name, key):
            self.report.add(len(images))
        else:
            self._write(name, key, images)

    def _complete(self, name: str, key: str) -> bool:
        try:
            shard = Shard.read(self.target_uri, name)
        except FileNotFoundError:
            return False
        uri = objects.child(self.target_uri, name)
        if shard.key != key or not objects.exists(uri):
            return False
        path = objects.local_path(uri)  # an object store keeps what one PUT gave it
        return path is None or digest_of_file(path) == shard.digest

    def _write(self, name: str, key: str, images: Sequence[Source]) -> None:
        refused: dict[int, str] = {}
        with objects.staged(objects.child(self.target_uri, name)) as file:
            # Processes write into this file at their slots: no pixels travel between them.
            shape = (len(images), self.spec.size, self.spec.size)
            slots = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
            todo = _copy_known(slots, images, self.known)
            self.report.add(len(images) - len(todo))
            chunks = list(_chunks(todo, images))
            for (_, chunk), faults in zip(chunks, self.runner.run(str(file), chunks), strict=True):
                refused.update(faults)
                self.report.add(len(chunk))
            slots.flush()
            del slots
            digest = digest_of_file(file)
        Shard(name, key, digest, tuple(sha256 for _, sha256 in images), refused).write(self.target_uri)


def _copy_known(slots: NDArray[np.uint8], images: Sequence[Source], known: Known | None) -> NDArray[np.int64]:
    """Copy pixels that exist elsewhere; returns the slots still to render."""
    keys = [sha256 for _, sha256 in images]
    if known is None:
        return np.arange(len(keys))
    contains, take = known
    have = contains(keys)
    found = np.flatnonzero(have)
    for part in np.array_split(found, max(1, len(found) // 256)):
        slots[part] = take([keys[slot] for slot in part])[:, 0]
    return np.flatnonzero(~have)


def _chunks(
    todo: NDArray[np.int64],
    images: Sequence[Source],
) -> Iterator[_Chunk]:
    """First slot and images of each run of neighbouring slots, at most _CHUNK long."""
    breaks = np.flatnonzero(np.diff(todo) != 1) + 1
    for stretch in np.split(todo, breaks) if len(todo) else ():
        for first in range(int(stretch[0]), int(stretch[-1]) + 1, _CHUNK):
            yield first, images[first : min(first + _CHUNK, int(stretch[-1]) + 1)]


class _Runner:
    """Renders chunks, results in order: in this process while that is quicker than starting others."""

    def __init__(self, workers: int | None, images: int, spec: PreprocessSpec) -> None:
        self._workers = workers or len(os.sched_getaffinity(0))
        self._images = images
        self._spec = spec
        self._pool: ProcessPoolExecutor | None = None
        self._measured = self._workers == 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, file: str, chunks: Sequence[_Chunk]) -> Iterator[list[tuple[int, str]]]:
        """Slots and reasons of the images refused, chunk by chunk."""
        rest = list(chunks)
        if not self._measured and rest:
            (start, images), *rest = rest
            began = perf_counter()
            yield fill(file, start, images, self._spec)
            self._measured = True
            if (perf_counter() - began) / len(images) * self._images > _WORTH_STARTING_S:
                # Spawned, not forked: the caller may have threads (a progress bar, torch), which do not survive a fork.
                self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"))
        work = partial(_fill, file, self._spec)
        yield from self._pool.map(work, rest) if self._pool is not None else map(work, rest)


def _fill(file: str, spec: PreprocessSpec, chunk: _Chunk) -> list[tuple[int, str]]:
    return fill(file, *chunk, spec)
