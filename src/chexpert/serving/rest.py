"""V2 over REST: routes and codes.

The SDK's own routes are not used: they parse bodies with pydantic (422 with `detail`, and binary bodies only under the
right Content-Type), know no versions, and let any caller load and unload models.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson
from kserve import InferRequest
from kserve.errors import InvalidInput
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from chexpert.domain.errors import InputError, RetryableError
from chexpert.serving import wire
from chexpert.serving.client import MODEL
from chexpert.serving.dataplane import FleetDataPlane
from chexpert.serving.errors import (
    BodyTooSlow,
    CallerGone,
    CompressedRequest,
    RequestTimedOut,
    RequestTooLarge,
    UnknownModel,
    UnknownVersion,
)
from chexpert.serving.exchange import Exchange, Stage
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.model import VERSION_HEADER
from chexpert.serving.observing import Observer
from chexpert.serving.settings import ServeSettings
from chexpert.serving.tensors import HEADER_LENGTH
from chexpert.serving.uploads import Take

__all__ = ["create_app", "status_of"]

_LOGGER: Final = logging.getLogger(__name__)
_RETRY_AFTER: Final = {"retry-after": "1"}
_CALLER_GONE: Final = 499
"""nginx's code for a caller that left; it stands in the access log alone."""
_TOLD_WITH: Final[Mapping[int, dict[str, str]]] = MappingProxyType(
    {
        HTTPStatus.REQUEST_TIMEOUT: {"connection": "close"},
        HTTPStatus.SERVICE_UNAVAILABLE: _RETRY_AFTER,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {"accept-encoding": "identity"},
    }
)
"""Headers that belong to a code."""

Endpoint = Callable[[Request], Awaitable[Response]]


def status_of(error: Exception) -> int:
    """Code of an error: 4xx where the caller must change the request, 503 where trying again may help."""
    kinds: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int], ...] = (
        ((UnknownModel, UnknownVersion), HTTPStatus.NOT_FOUND),
        (CallerGone, _CALLER_GONE),
        (BodyTooSlow, HTTPStatus.REQUEST_TIMEOUT),
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
            # First: routes are tried one after the other.
            *(Route(f"{path}/infer", endpoints.infer, methods=["POST"]) for path in (model, version)),
            Route("/", endpoints.live),
            Route("/metrics", endpoints.metrics),
            *(Route(path, endpoints.server) for path in ("/v2", "/v2/")),
            Route("/v2/health/live", endpoints.live),
            Route("/v2/health/ready", endpoints.ready),
            Route("/v2/models", endpoints.models),
            *(Route(path, _guarded(endpoints.metadata)) for path in (model, version)),
            *(Route(f"{path}/ready", _guarded(endpoints.model_ready)) for path in (model, version)),
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
        following = self._observer.exchange(request.method, request.scope["route"].path, request.headers)
        with following as exchange, self._plane.uploads.claim() as take:
            try:
                response = await self._infer(request, exchange, take)
            except Exception as error:  # noqa: BLE001 -- a model may raise anything; the version belongs to the answer
                self._observer.failed(exchange, error)
                response = _failure(error, exchange.version)
            if exchange.version:
                response.headers[VERSION_HEADER] = exchange.version
            exchange.status, exchange.bytes_out = response.status_code, len(response.body)
        return response

    async def _infer(self, request: Request, exchange: Exchange, take: Take) -> Response:
        model, version = _asked(request)
        self._plane.require(model, version)
        parts = await self._body(request, exchange, take)

        def parse() -> InferRequest:
            parsed = wire.decode_request(b"".join(parts), request.headers.get(HEADER_LENGTH))
            parsed.model_version = version
            return parsed

        asked = await self._plane.read(parse, exchange)
        answer = await self._plane.answer(asked, exchange)
        with exchange.stage(Stage.ENCODE):
            content, header_length = wire.encode_response(answer, asked.request)
        if header_length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={HEADER_LENGTH: str(header_length)}, media_type="application/octet-stream")

    async def _body(self, request: Request, exchange: Exchange, take: Take) -> list[bytes]:
        """The body as it came. Room for it is taken before it is read, or by and by where its length is not told."""
        limit, body_s = self._settings.max_request_bytes, self._settings.body_s
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise CompressedRequest(encoding)
        length = request.headers.get("content-length")
        announced = int(length) if length is not None else 0  # uvicorn answers 400 to what is no number
        if announced > limit:
            raise RequestTooLarge(announced, limit, "bytes")
        take(announced)
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(body_s or None):
                async for part in request.stream():
                    exchange.bytes_in += len(part)
                    if exchange.bytes_in > limit:
                        raise RequestTooLarge(exchange.bytes_in, limit, "bytes")
                    if length is None:
                        take(len(part))
                    parts.append(part)
        except TimeoutError as error:
            raise BodyTooSlow(exchange.bytes_in, body_s) from error
        except ClientDisconnect as error:
            raise CallerGone(exchange.bytes_in) from error
        return parts

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


def _json(value: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
