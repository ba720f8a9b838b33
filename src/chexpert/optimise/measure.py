"""How fast each variant answers, measured in turns so that a busy moment hits all of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chexpert.bundle.sessions import Session
from chexpert.optimise.settings import VariantSettings

__all__ = ["Speed", "speeds"]

_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one variant."""

    latency_ms_p50: float
    """One image."""
    latency_ms_p95: float
    latency_ms_p99: float
    images_per_s: Mapping[int, float]
    """By the images of one run."""


def speeds(sessions: Mapping[str, Session], settings: VariantSettings) -> dict[str, Speed]:
    """Latency and throughput of each session by its name, on random pixels."""
    rng = np.random.default_rng(settings.seed)
    size = {name: session.size for name, session in sessions.items()}
    single = _in_turns(sessions, {name: _pixels(rng, 1, size[name]) for name in sessions}, settings.latency_runs)
    by_batch = {
        batch: _in_turns(
            sessions, {name: _pixels(rng, batch, size[name]) for name in sessions}, settings.throughput_runs
        )
        for batch in settings.batches
    }
    found = {}
    for name in sessions:
        p50, p95, p99 = (1000.0 * float(q) for q in np.percentile(single[name], (50, 95, 99)))
        rates = {batch: batch / float(np.median(seconds[name])) for batch, seconds in by_batch.items()}
        found[name] = Speed(p50, p95, p99, rates)
    return found


def _in_turns(
    sessions: Mapping[str, Session],
    pixels: Mapping[str, NDArray[np.uint8]],
    runs: int,
) -> dict[str, list[float]]:
    """Seconds of each run by name, after a few that don't count."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(_WARM_UP + runs):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(pixels[name])
            if turn >= _WARM_UP:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _pixels(rng: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (count, 1, size, size), dtype=np.uint8)
