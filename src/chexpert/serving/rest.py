"""V2 over REST: routes and codes.

The SDK's own routes are not used: they parse bodies with pydantic (422 with `detail`, and binary bodies only under the
right Content-Type), know no versions, and let any caller load and unload models.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson
from kserve.errors import InvalidInput
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chexpert.domain.errors import InputError, RetryableError
from chexpert.domain.records import Outcome
from chexpert.serving import wire
from chexpert.serving.client import MODEL
from chexpert.serving.dataplane import FleetDataPlane
from chexpert.serving.errors import CompressedRequest, RequestTimedOut, RequestTooLarge, UnknownModel, UnknownVersion
from chexpert.serving.exchange import Exchange, Stage
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.model import VERSION_HEADER
from chexpert.serving.observing import Observer
from chexpert.serving.settings import ServeSettings
from chexpert.serving.tensors import HEADER_LENGTH

__all__ = ["create_app", "status_of"]

_LOGGER: Final = logging.getLogger(__name__)
_RETRY_AFTER: Final = {"retry-after": "1"}
_TOLD_WITH: Final[Mapping[HTTPStatus, dict[str, str]]] = MappingProxyType(
    {
        HTTPStatus.SERVICE_UNAVAILABLE: _RETRY_AFTER,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {"accept-encoding": "identity"},
    }
)
"""Headers that belong to a code."""

Endpoint = Callable[[Request], Awaitable[Response]]


def status_of(error: Exception) -> HTTPStatus:
    """Code of an error: 4xx where the caller must change the request, 503 where trying again may help."""
    kinds: tuple[tuple[type[Exception] | tuple[type[Exception], ...], HTTPStatus], ...] = (
        ((UnknownModel, UnknownVersion), HTTPStatus.NOT_FOUND),
        (CompressedRequest, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (RequestTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        ((InputError, InvalidInput), HTTPStatus.BAD_REQUEST),
        (RequestTimedOut, HTTPStatus.GATEWAY_TIMEOUT),
        (RetryableError, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def create_app(plane: FleetDataPlane, metrics: ServerMetrics, observer: Observer, settings: ServeSettings) -> Starlette:
    """The ASGI application; every error is {"error": …} under a code of its own."""
    endpoints = _Endpoints(plane, metrics, observer, settings)
    model = "/v2/models/{model}"
    version = model + "/versions/{version}"
    return Starlette(
        routes=[
            Route("/", endpoints.live),
            Route("/metrics", endpoints.metrics),
            *(Route(path, endpoints.server) for path in ("/v2", "/v2/")),
            Route("/v2/health/live", endpoints.live),
            Route("/v2/health/ready", endpoints.ready),
            Route("/v2/models", endpoints.models),
            *(Route(path, _guarded(endpoints.metadata)) for path in (model, version)),
            *(Route(f"{path}/ready", _guarded(endpoints.model_ready)) for path in (model, version)),
            *(Route(f"{path}/infer", endpoints.infer, methods=["POST"]) for path in (model, version)),
        ],
        exception_handlers={HTTPException: _unrouted},
    )


class _Endpoints:
    def __init__(
        self, plane: FleetDataPlane, metrics: ServerMetrics, observer: Observer, settings: ServeSettings
    ) -> None:
        self._plane = plane
        self._metrics = metrics
        self._observer = observer
        self._settings = settings

    async def live(self, _: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        return self._readiness({"ready": True})

    async def server(self, _: Request) -> Response:
        return _json(self._plane.metadata())

    async def models(self, _: Request) -> Response:
        return _json({"models": [MODEL]})

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def metadata(self, request: Request) -> Response:
        model, version = _asked(request)
        return _json(await self._plane.model_metadata(model, version))

    async def model_ready(self, request: Request) -> Response:
        model, version = _asked(request)
        await self._plane.model_ready(model, version=version)
        return self._readiness({"name": model, "ready": True})

    async def infer(self, request: Request) -> Response:
        with self._observer.exchange(request.method, request.scope["route"].path, request.headers) as exchange:
            try:
                response = await self._infer(request, exchange)
            except Exception as error:  # noqa: BLE001 -- a model may raise anything; the version belongs to the answer
                exchange.error = type(error).__name__
                response = _failure(error, exchange.version)
            if exchange.version:
                response.headers[VERSION_HEADER] = exchange.version
            exchange.status, exchange.bytes_out = response.status_code, len(response.body)
        return response

    async def _infer(self, request: Request, exchange: Exchange) -> Response:
        model, version = _asked(request)
        self._plane.require(model, version)
        try:
            body = await self._body(request)
            exchange.bytes_in = len(body)
            asked = wire.decode_request(body, request.headers.get(HEADER_LENGTH))
        except InputError:
            self._metrics.ended("", Outcome.REJECTED, shadow=False, seconds=0.0)
            raise
        asked.model_version = version
        answer = await self._plane.answer(asked, exchange)
        with exchange.stage(Stage.ENCODE):
            content, header_length = wire.encode_response(answer, asked)
        if header_length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={HEADER_LENGTH: str(header_length)}, media_type="application/octet-stream")

    async def _body(self, request: Request) -> bytes:
        limit = self._settings.max_request_bytes
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise CompressedRequest(encoding)
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise RequestTooLarge(int(announced), limit, "bytes")
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise RequestTooLarge(size, limit, "bytes")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _readiness(self, answer: dict[str, Any]) -> Response:
        fleet = self._plane.fleet
        if fleet.unready:
            return _json({"error": fleet.unready}, HTTPStatus.SERVICE_UNAVAILABLE, _RETRY_AFTER)
        problem = fleet.state.problem
        return _json({**answer, "problem": problem} if problem else answer)


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:  # noqa: BLE001 -- the protocol wants an answer for each
            return _failure(error)

    return guarded


def _failure(error: Exception, version: str = "") -> Response:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOGGER.error("version %s: %s", version or "none", error, exc_info=error)
    return _json({"error": str(error) or type(error).__name__}, status, _TOLD_WITH.get(status))


async def _unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    return _json({"error": f"{request.method} {request.url.path}: {HTTPStatus(status).phrase}"}, HTTPStatus(status))


def _asked(request: Request) -> tuple[str, str]:
    return request.path_params["model"], request.path_params.get("version", "")


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
