"""Prometheus metrics of one server, each with the version that answered: canary and stable are compared by label."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chexpert.domain.records import Outcome

__all__ = ["ServerMetrics"]

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ServerMetrics:
    """Counters, latency per stage (queue, decode, run, total) and shares of one server, in a registry of its own."""

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
            "Seconds per request and stage; no shadows",
            ("version", "stage"),
            buckets=_BUCKETS_S,
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

    def ended(self, version: str, outcome: Outcome, *, shadow: bool, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(version, str(shadow).lower(), str(outcome)).inc()
        if shadow or not version:
            return
        self._seconds.labels(version, "total").observe(seconds)
        if outcome not in {Outcome.OK, Outcome.REJECTED}:
            self._errors.labels(version).inc()

    def waited(self, version: str, seconds: float, *, shadow: bool) -> None:
        """Time in the version's queue."""
        if not shadow:
            self._seconds.labels(version, "queue").observe(seconds)

    @contextmanager
    def stage(self, version: str, stage: str, *, shadow: bool) -> Iterator[None]:
        """Time a stage of one request."""
        started = perf_counter()
        try:
            yield
        finally:
            if not shadow:
                self._seconds.labels(version, stage).observe(perf_counter() - started)

    def serving(self, weights: Mapping[str, int], *, following: bool) -> None:
        """What is served now."""
        self._traffic.clear()
        for version, percent in weights.items():
            self._traffic.labels(version).set(percent)
        self._following.set(float(following))

    def exposition(self) -> bytes:
        """Prometheus' text format; the process' and the SDK's own metrics come after ours."""
        return bytes(generate_latest(self._registry)) + bytes(generate_latest(REGISTRY))
