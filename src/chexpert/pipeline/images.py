"""Statistics and pixels of a manifest's own images, read again from their files."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from chexpert.data import objects
from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import PreprocessSpec, preprocess
from chexpert.imaging.statistics import statistics

__all__ = ["pixels_of", "sample", "statistics_of"]

Result = TypeVar("Result")


def statistics_of(manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, 5) in the order of domain.records.STATISTICS: of the image as it came, before any preprocessing.

    Raises:
        UnreadableData: an image is no longer where the manifest says.
    """
    return np.array(_each(manifest, rows, lambda data: statistics(decode(data))), dtype=np.float64).reshape(-1, 5)


def pixels_of(manifest: Manifest, rows: NDArray[np.int64], spec: PreprocessSpec) -> NDArray[np.uint8]:
    """(n, 1, size, size) uint8 by another preprocessing than the shards'; raises as `statistics_of`."""
    images = _each(manifest, rows, lambda data: preprocess(decode(data, target=spec.size), spec))
    return np.stack(images)[:, None]


def sample(rows: NDArray[np.int64], most: int, seed: int = 0) -> NDArray[np.int64]:
    """At most so many of the rows, in their order, drawn without replacement."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _each(manifest: Manifest, rows: NDArray[np.int64], work: Callable[[bytes], Result]) -> list[Result]:
    paths = manifest.column("image_path")[rows]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda path: work(_read(path)), paths))


def _read(uri: str) -> bytes:
    try:
        return objects.read_bytes(uri)
    except FileNotFoundError as error:
        raise UnreadableData(uri, reason="stands in the manifest and is no longer there: ingest again") from error
