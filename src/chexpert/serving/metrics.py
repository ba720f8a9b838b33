"""Prometheus metrics of one server, each with the version that answered: canary and stable are compared by label."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chexpert.domain.records import Outcome
from chexpert.serving.errors import NotReady, QueueFull, RequestTooLarge, UploadsFull
from chexpert.serving.exchange import Exchange

__all__ = ["ServerMetrics"]

_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BUCKETS_IMAGES: Final = (1, 2, 4, 8, 16, 32, 64)
_REFUSALS: Final[Mapping[str, str]] = {
    QueueFull.__name__: "queue_full",
    UploadsFull.__name__: "uploads_full",
    NotReady.__name__: "not_ready",
    RequestTooLarge.__name__: "too_large",
}
"""What turns a request away before a model sees it, by the kind of its error."""


class ServerMetrics:
    """Counters, latency per stage (those of `exchange.Stage`, and total), batches and shares of one server.

    In a registry of its own, so that one process may hold several servers.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "chexpert_requests",
            "Requests by the version that took them, shadow or not, and how they ended; version empty: none took it",
            ("version", "shadow", "outcome"),
            registry=self._registry,
        )
        self._errors = Counter(
            "chexpert_errors",
            "Requests that a version failed: 5xx, timeouts, NaN, out of range; no shadows",
            ("version",),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "chexpert_stage_seconds",
            "Seconds per request and stage; no shadows, and as total only of answers: a refusal is fast",
            ("version", "stage"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "chexpert_in_flight_requests",
            "Requests that a version has taken and not yet answered",
            ("version",),
            registry=self._registry,
        )
        self._batch = Histogram(
            "chexpert_batch_images",
            "Images per run of the graph, shadows included",
            ("version",),
            buckets=_BUCKETS_IMAGES,
            registry=self._registry,
        )
        self._refused = Counter(
            "chexpert_refused_requests",
            "Requests turned away before a model saw them: queue_full, uploads_full, not_ready or too_large; "
            "version empty: none yet",
            ("version", "reason"),
            registry=self._registry,
        )
        self._upload = Gauge(
            "chexpert_upload_bytes",
            "Bytes of requests held until they are answered",
            registry=self._registry,
        )
        self._traffic = Gauge(
            "chexpert_traffic_percent",
            "Share of the traffic",
            ("version",),
            registry=self._registry,
        )
        self._following = Gauge(
            "chexpert_following_file",
            "1 while what is served is what the file says",
            registry=self._registry,
        )

    def ended(self, version: str, outcome: Outcome, *, shadow: bool, seconds: float | None) -> None:
        """Count one request. `seconds`: how long its answer took; None: it was turned away."""
        self._requests.labels(version, str(shadow).lower(), str(outcome)).inc()
        if shadow or not version:
            return
        if seconds is not None:
            self._seconds.labels(version, "total").observe(seconds)
        if outcome not in {Outcome.OK, Outcome.REJECTED}:
            self._errors.labels(version).inc()

    def exchanged(self, exchange: Exchange) -> None:
        """Take over the stages of one finished request, or why it was refused."""
        if exchange.error in _REFUSALS:
            self._refused.labels(exchange.version, _REFUSALS[exchange.error]).inc()
        if exchange.version and not exchange.shadow:
            for stage, seconds in exchange.seconds().items():
                self._seconds.labels(exchange.version, str(stage)).observe(seconds)

    @contextmanager
    def in_flight(self, version: str) -> Iterator[None]:
        """Count the block as a request that the version is working on."""
        gauge = self._in_flight.labels(version)
        with gauge.track_inprogress():
            yield

    def holding(self, size: int) -> None:
        """How many bytes of requests are held now."""
        self._upload.set(size)

    def batches(self, version: str) -> Callable[[int], None]:
        """What takes the number of images of each run of one version; for its threads."""
        observe: Callable[[int], None] = self._batch.labels(version).observe
        return observe

    def serving(self, weights: Mapping[str, int], *, following: bool) -> None:
        """What is served now."""
        self._traffic.clear()
        for version, percent in weights.items():
            self._traffic.labels(version).set(percent)
        self._following.set(float(following))

    def exposition(self) -> bytes:
        """Prometheus' text format; the process' and the SDK's own metrics come after ours."""
        return bytes(generate_latest(self._registry)) + bytes(generate_latest(REGISTRY))
