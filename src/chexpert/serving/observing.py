"""What is told of each inference request once it is answered: metrics, a line of the access log, spans."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from random import getrandbits
from time import perf_counter
from typing import Final
from uuid import UUID

from chexpert.serving.access_log import AccessLog
from chexpert.serving.exchange import Exchange
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.scoring import outcome_of
from chexpert.serving.tracing import Traces, open_traces

__all__ = ["Observer"]

_STDOUT: Final = 1
_TRACE_CONTEXT: Final = ("traceparent", "tracestate")


class Observer:
    """Follows requests from their first byte to their last."""

    def __init__(self, metrics: ServerMetrics, access_log: AccessLog | None, traces: Traces | None) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._traces = traces

    @classmethod
    def opened(cls, metrics: ServerMetrics, *, access_log: bool) -> "Observer":
        """One that logs to standard output if it is to, and traces if the environment names an endpoint."""
        log = AccessLog(FileIO(_STDOUT, "wb", closefd=False)) if access_log else None
        return cls(metrics, log, open_traces())

    @contextmanager
    def exchange(self, method: str, route: str, headers: Mapping[str, str]) -> Iterator[Exchange]:
        """Follow one request; the block sets status and error of what it yields."""
        exchange = Exchange(
            method,
            route,
            request=headers.get("x-request-id") or _identity(),
            parent={name: headers[name] for name in _TRACE_CONTEXT if name in headers},
        )
        try:
            yield exchange
        finally:
            exchange.ended = perf_counter()
            self._metrics.exchanged(exchange)
            if self._access_log is not None:
                self._access_log.write(exchange)
            if self._traces is not None:
                self._traces.export(exchange)

    def failed(self, exchange: Exchange, error: Exception) -> None:
        """Note why; an error of no version's is counted here, the others where the version was at work."""
        exchange.error = type(error).__name__
        if not exchange.version:
            self._metrics.ended("", outcome_of(error), shadow=exchange.shadow, seconds=None)

    def close(self) -> None:
        """Write and send what waits."""
        if self._access_log is not None:
            self._access_log.close()
        if self._traces is not None:
            self._traces.close()


def _identity() -> str:
    """As uuid4, which lets other threads run while it asks the system for bytes, and then waits for its turn."""
    return str(UUID(int=getrandbits(128), version=4))
