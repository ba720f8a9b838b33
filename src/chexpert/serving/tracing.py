"""OpenTelemetry traces of inference requests, sent by OTLP over HTTP where the environment names an endpoint.

Nothing of the OpenTelemetry SDK is imported before one is named. Exporter, sampler and service name are set by the
variables of OpenTelemetry's specification (OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME).
"""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from chexpert.serving.exchange import Exchange

__all__ = ["ENDPOINTS", "Traces", "open_traces"]

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SERVICE: Final = "chexpert-predictor"
_FLUSH_MS: Final = 5000
_SERVER_ERROR: Final = 500
_GRPC_SERVER_ERRORS: Final = frozenset({"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "UNIMPLEMENTED"})


def open_traces(environment: Mapping[str, str] = os.environ) -> "Traces | None":
    """Where spans go; None: no endpoint is named."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    return Traces(environment)


class Traces:
    """Turns each finished request into one server span with a child per stage."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        trace = import_module("opentelemetry.trace")
        sdk = import_module("opentelemetry.sdk.trace")
        exporting = import_module("opentelemetry.sdk.trace.export")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = import_module("opentelemetry.sdk.resources")
        self._propagator = import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()
        named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": _SERVICE}
        self._provider: Any = sdk.TracerProvider(resource=resources.Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(exporting.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        self._tracer: Any = self._provider.get_tracer("chexpert.serving")
        self._trace: Any = trace

    def export(self, exchange: Exchange) -> None:
        """Queue the spans of one finished request; never waits for the collector."""
        kind, within = self._trace.SpanKind.SERVER, self._propagator.extract(exchange.parent)
        name = f"{exchange.method} {exchange.route}"
        span = self._tracer.start_span(name, context=within, kind=kind, start_time=exchange.time_ns)
        if span.is_recording():
            span.set_attributes(_attributes(exchange))
            if _is_fault(exchange.status):
                span.set_status(self._trace.StatusCode.ERROR)
            inside = self._trace.set_span_in_context(span, within)
            for passage in tuple(exchange.passages):
                started, ended = (_epoch_ns(exchange, at) for at in (passage.started, passage.ended))
                child = self._tracer.start_span(str(passage.stage), context=inside, start_time=started)
                child.end(ended)
        span.end(_epoch_ns(exchange, exchange.ended))

    def close(self) -> None:
        """Send what waits, for no longer than 5 s."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()


def _attributes(exchange: Exchange) -> dict[str, str | int | bool]:
    """Names by OpenTelemetry's semantic conventions where there is one."""
    protocol: dict[str, str | int | bool] = (
        {"rpc.system": "grpc", "rpc.grpc.status": str(exchange.status)}
        if isinstance(exchange.status, str)
        else {
            "http.request.method": exchange.method,
            "http.route": exchange.route,
            "http.response.status_code": exchange.status,
        }
    )
    error: dict[str, str | int | bool] = {"error.type": exchange.error} if exchange.error else {}
    return {
        **protocol,
        **error,
        "chexpert.version": exchange.version,
        "chexpert.request": exchange.request,
        "chexpert.shadow": exchange.shadow,
        "chexpert.images": exchange.images,
        "chexpert.batch": exchange.batch,
    }


def _is_fault(status: int | str) -> bool:
    return status in _GRPC_SERVER_ERRORS if isinstance(status, str) else status >= _SERVER_ERROR


def _epoch_ns(exchange: Exchange, at: float) -> int:
    return exchange.time_ns + round((at - exchange.started) * 1e9)
