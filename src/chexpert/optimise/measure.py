"""How fast each variant answers, measured in turns so that a busy moment hits all of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import quantiles

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
    images_per_s: float
    """In batches of `VariantSettings.throughput_batch`."""


def speeds(sessions: Mapping[str, Session], settings: VariantSettings) -> dict[str, Speed]:
    """Latency and throughput of each session by its name, on random pixels."""
    rng = np.random.default_rng(settings.seed)
    single, many = (
        {name: _pixels(rng, count, session.size) for name, session in sessions.items()}
        for count in (1, settings.throughput_batch)
    )
    latencies = _in_turns(sessions, single, settings.latency_runs)
    batches = _in_turns(sessions, many, settings.throughput_runs)
    return {
        name: Speed(
            latency_ms_p50=1000.0 * float(np.median(latencies[name])),
            latency_ms_p95=1000.0 * quantiles(latencies[name], n=20, method="inclusive")[-1],
            images_per_s=settings.throughput_batch / float(np.median(batches[name])),
        )
        for name in sessions
    }


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
