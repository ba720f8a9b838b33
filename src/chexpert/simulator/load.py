"""Load on a V2 endpoint: many at once or paced, standard images and corner cases, every request accounted for."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np

from chexpert.data.phantoms import Knobs, draw
from chexpert.domain.errors import InputError
from chexpert.domain.observations import OBSERVATIONS
from chexpert.serving.client import Answer, PredictorFault, PredictorRefused, PredictorUnavailable, V2Client
from chexpert.simulator.corners import CORNERS, corner
from chexpert.simulator.devices import DEVICES, acquire, encode
from chexpert.simulator.load_report import LoadReport, RequestRow
from chexpert.simulator.samples import Source

__all__ = ["LoadImage", "LoadSettings", "images_of", "run_load", "standard_mix"]


@dataclass(frozen=True, slots=True)
class LoadImage:
    """An encoded image and what kind it is."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How hard and how long. At least one of `requests` and `duration_s` bounds it."""

    concurrency: int = 4
    """Requests in flight: the clinic's need names four."""
    requests: int | None = 200
    """None: until the duration is over."""
    duration_s: float | None = None
    """None: until the requests are done."""
    per_s: float | None = None
    """Requests per second over all; None: the next as soon as one is answered (closed loop)."""
    timeout_s: float = 10.0
    version: str = ""
    """Version asked directly; empty: the traffic split chooses."""

    def __post_init__(self) -> None:
        if self.requests is None and self.duration_s is None:
            msg = "a load without requests and without duration_s would never end: set one"
            raise InputError(msg)
        if self.concurrency < 1:
            msg = f"concurrency is {self.concurrency}: at least one request has to be in flight"
            raise InputError(msg)


def standard_mix(seed: int = 0, *, size: int = 128, per_device: int = 4) -> list[LoadImage]:
    """Phantoms of each device, one of each corner case, and a lateral view. The same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    mix = [
        LoadImage(profile.name, acquire(draw(rng, size=size).pixels, profile, rng))
        for profile in DEVICES
        for _ in range(per_device)
    ]
    mix += [LoadImage(kind, corner(kind, draw(rng, size=size).pixels, rng)) for kind in CORNERS]
    mix.append(LoadImage("lateral", encode(draw(rng, size=size, knobs=Knobs(lateral=1.0)).pixels)))
    return mix


def images_of(source: Source, images: int) -> list[LoadImage]:
    """The first images of a source; their kind is the device, or the source's name where none is known."""
    samples = [source.sample(number) for number in range(images)]
    return [LoadImage(sample.device or sample.source or "standard", sample.data) for sample in samples]


def run_load(
    base_url: str,
    images: Sequence[LoadImage],
    settings: LoadSettings,
    *,
    stop: threading.Event | None = None,
    progress: Callable[[RequestRow], None] | None = None,
) -> LoadReport:
    """Send the images in turn until a bound is reached or `stop` is set; every request begun has a row.

    Args:
        base_url: of the predictor.
        images: at least one.
        settings: bounds, pace, concurrency.
        stop: ends the load early, from another thread.
        progress: called after each request, from the sending threads, one at a time.
    """
    if not images:
        msg = "a load needs at least one image"
        raise InputError(msg)
    plan = _Plan(settings, stop or threading.Event())
    lock = threading.Lock()
    rows: list[RequestRow] = []

    def send(client: V2Client) -> None:
        for number in plan.numbers():
            row = _request(client, images[number % len(images)], settings.version)
            with lock:
                rows.append(row)
                if progress is not None:
                    progress(row)

    with V2Client(base_url, timeout_s=settings.timeout_s) as client, ThreadPoolExecutor(settings.concurrency) as pool:
        for sender in [pool.submit(send, client) for _ in range(settings.concurrency)]:
            sender.result()
    return LoadReport(tuple(rows), plan.elapsed_s(), settings.concurrency)


class _Plan:
    """Hands out request numbers to the senders, at the pace and within the bounds."""

    def __init__(self, settings: LoadSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._numbers = count()
        self._lock = threading.Lock()
        self._began = time.perf_counter()

    def elapsed_s(self) -> float:
        """Since the load began."""
        return time.perf_counter() - self._began

    def numbers(self) -> Iterable[int]:
        """Numbers for one sender, until a bound is reached."""
        settings = self._settings
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers)
            if settings.requests is not None and number >= settings.requests:
                return
            if settings.per_s is not None and self._stop.wait(max(0.0, number / settings.per_s - self.elapsed_s())):
                return
            if settings.duration_s is not None and self.elapsed_s() >= settings.duration_s:
                return
            yield number


def _request(client: V2Client, image: LoadImage, version: str) -> RequestRow:
    began = time.perf_counter()

    def row(outcome: str, answered_by: str, message: str = "") -> RequestRow:
        return RequestRow(image.kind, outcome, (time.perf_counter() - began) * 1000.0, answered_by, message[:200])

    try:
        (answer,) = client.score_images([image.data], version=version)
    except PredictorRefused as error:
        return row("refused", "", str(error))
    except PredictorFault as error:
        return row("fault", error.version, str(error))
    except PredictorUnavailable as error:
        return row("unavailable", "", str(error))
    return row(_outcome(answer), answer.version)


def _outcome(answer: Answer) -> str:
    values = (*answer.scores, answer.priority)
    if len(answer.scores) != len(OBSERVATIONS):
        return "length"
    if not all(math.isfinite(value) for value in values):
        return "nan"
    return "ok" if all(0.0 <= value <= 1.0 for value in values) else "range"
