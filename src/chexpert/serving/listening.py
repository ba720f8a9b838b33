"""The SDK's REST and gRPC servers on addresses of our choice, ending without dropping what they accepted."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent import futures
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from time import monotonic
from typing import Any

from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from starlette.applications import Starlette
from uvicorn import Config, Server

from chexpert.domain.errors import InputError
from chexpert.serving.dataplane import FleetDataPlane
from chexpert.serving.grpc_service import FleetServicer
from chexpert.serving.observing import Observer
from chexpert.serving.settings import ServeSettings

__all__ = ["FleetGrpcServer", "FleetRestServer", "PortTaken"]

_GRPC_THREADS = 2
"""Only for the SDK's signature: all handlers are coroutines."""

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class PortTaken(InputError):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}; choose another port, or 0 for a free one")
        self.host = host
        self.port = port


class _DrainingServer(Server):
    """uvicorn without signal handlers of its own, whose end costs no answer.

    Plain uvicorn closes idle connections at once; a request just on its way is lost. Here listening ends first, then
    open connections have `linger_s` to bring a request, whose answer closes the connection.
    """

    def __init__(self, config: Config, linger_s: float) -> None:
        super().__init__(config)
        self._linger_s = linger_s
        self.draining = False
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self.draining = True
        until = monotonic() + self._linger_s
        while self.server_state.connections and monotonic() < until:  # noqa: ASYNC110 -- uvicorn has no event for it
            await asyncio.sleep(0.01)
        await super().shutdown(sockets)


class FleetRestServer(RESTServer):
    """HTTP on one bound socket."""

    def __init__(
        self,
        plane: FleetDataPlane,
        repository: ModelRepositoryExtension,
        app: Starlette,
        settings: ServeSettings,
    ) -> None:
        self._socket = _bind(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        super().__init__("", plane, repository, self.port, grace_period=int(settings.grace_s))
        self._app = app
        self.config.app = self._closing_when_draining
        self.config.interface = "asgi3"  # uvicorn guesses asgi2 for a method
        self.config.lifespan = "off"
        self.config.proxy_headers = False  # nobody asks who the caller is
        self._server: _DrainingServer = _DrainingServer(self.config, settings.linger_s)

    def create_application(self) -> None:
        """The application was given; the SDK's, a module-level one, is left alone."""

    async def start(self) -> None:
        """Serve until `stop`, then until the last connection has its answer."""
        await self._server.serve(sockets=[self._socket])

    @property
    def accepting(self) -> asyncio.Event:
        """Set once connections are accepted."""
        return self._server.accepting

    def stop(self) -> None:
        """Ask `start` to come to its end."""
        self._server.should_exit = True

    async def _closing_when_draining(self, scope: Message, receive: Callable[[], Any], send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._server.draining:
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)


class FleetGrpcServer(GRPCServer):
    """gRPC; the SDK's own listens on all addresses."""

    def __init__(
        self,
        plane: FleetDataPlane,
        repository: ModelRepositoryExtension,
        observer: Observer,
        settings: ServeSettings,
    ) -> None:
        super().__init__(settings.grpc_port, plane, repository, kwargs={}, grace_period=int(settings.grace_s))
        self._observer = observer
        self._settings = settings
        self.port = 0

    async def start(self, max_workers: int = _GRPC_THREADS) -> None:
        """Listen; returns once it does. PortTaken if it cannot."""
        settings = self._settings
        self._server = aio.server(
            futures.ThreadPoolExecutor(max_workers=max_workers),
            maximum_concurrent_rpcs=settings.grpc_calls or None,
            options=[
                ("grpc.max_receive_message_length", settings.max_request_bytes),
                ("grpc.max_send_message_length", settings.max_request_bytes),
                ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a share of the calls
            ],
        )
        servicer = FleetServicer(self._data_plane, self._model_repository_extension, self._observer)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            self.port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise PortTaken(settings.host, settings.grpc_port, str(error)) from error
        await self._server.start()


def _bind(host: str, port: int) -> socket:
    # asyncio switches Nagle's delay off only where the protocol is named: without it an answer took 48 ms instead of 4.
    listening = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM, IPPROTO_TCP)
    listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise PortTaken(host, port, error.strerror or str(error)) from error
    return listening
