"""One server process: puts the parts together, runs them, and ends them in order."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import uvloop
from kserve import ModelServer

from chexpert.domain.records import InferenceRecord
from chexpert.serving.dataplane import FleetDataPlane
from chexpert.serving.fleet import Fleet
from chexpert.serving.inference_log import InferenceLog
from chexpert.serving.isvc import ServedVersion
from chexpert.serving.listening import FleetGrpcServer, FleetRestServer
from chexpert.serving.metrics import ServerMetrics
from chexpert.serving.model import FleetModel
from chexpert.serving.observing import Observer
from chexpert.serving.reading import Reader
from chexpert.serving.rest import create_app
from chexpert.serving.settings import ServeSettings
from chexpert.serving.uploads import Uploads
from chexpert.serving.versions import OpenSession, open_bundle

__all__ = ["FleetServer", "create_server", "serve"]

_LOGGER: Final = logging.getLogger(__name__)


class FleetServer(ModelServer):
    """The SDK's ModelServer, serving every version of one InferenceService file."""

    def __init__(self, settings: ServeSettings, open_session: OpenSession) -> None:
        """Nothing listens yet."""
        super().__init__(http_port=settings.port, grpc_port=settings.grpc_port, enable_grpc=settings.grpc_port >= 0)
        self._settings = settings
        metrics = ServerMetrics()
        self._fleet = Fleet(settings, open_session, metrics)
        self._log = InferenceLog(settings.objects, _pod(), settings.log) if settings.objects else None
        model = FleetModel(settings, self._fleet, metrics, self._record)
        self.register_model(model)
        uploads, reader = Uploads(settings.upload_bytes, metrics.holding), Reader(settings.max_images)
        self.dataplane = FleetDataPlane(self.registered_models, self._fleet, model, reader, uploads)
        self._observer = Observer.opened(metrics, access_log=settings.access_log)
        self._app = create_app(self.dataplane, metrics, self._observer, settings)
        self._stop_asked = threading.Event()
        self._wake: Callable[[], object] = lambda: None
        self.listening = threading.Event()
        """Set once both ports accept connections."""
        self.http = 0
        """HTTP port in use, once listening."""
        self.grpc = 0
        """gRPC port in use, once listening; 0 without gRPC."""

    def run(self) -> None:
        """Serve until `stop` or SIGTERM, then drain. Raises what keeps it from starting."""
        try:
            uvloop.run(self._run())
        finally:
            self._fleet.retire()
            self._observer.close()
            if self._log is not None:
                self._log.close()

    def stop(self, sig: int = 0) -> None:
        """Ask `run` to drain and return; from any thread."""
        _LOGGER.info("stopping%s", f" on {signal.Signals(sig).name}" if sig else "")
        self._stop_asked.set()
        self._wake()

    async def _run(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for name in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(name, self.stop, name)
        async with self._following() as following, self._listening() as rest:
            with self._announced():
                await asyncio.wait({following, rest, self._stop_task()}, return_when=asyncio.FIRST_COMPLETED)
            self._fleet.draining = True
            for task in (following, rest):
                if task.done():
                    task.result()

    def _stop_task(self) -> asyncio.Task[bool]:
        """Done once `stop` was called, even if it was before."""
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(stopped.set)
        if self._stop_asked.is_set():
            stopped.set()
        return asyncio.create_task(stopped.wait())

    @contextlib.asynccontextmanager
    async def _following(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self._serve_what())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _serve_what(self) -> None:
        settings = self._settings
        if settings.manifest is not None:
            await self._fleet.follow(settings.manifest)
        else:
            mounted = ServedVersion(settings.version, str(settings.model_dir), settings.digest, traffic=100)
            await self._fleet.serve_only(mounted if settings.version else None)
        await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[asyncio.Task[None]]:
        rest = FleetRestServer(self.dataplane, self.model_repository_extension, self._app, self._settings)
        task = asyncio.create_task(rest.start())
        grpc = FleetGrpcServer(self.dataplane, self.model_repository_extension, self._observer, self._settings)
        try:
            if self.enable_grpc:
                await grpc.start()
            await asyncio.wait({task, asyncio.create_task(rest.accepting.wait())}, return_when=asyncio.FIRST_COMPLETED)
            self.http, self.grpc = rest.port, grpc.port
            yield task
        finally:
            rest.stop()
            await asyncio.gather(task, grpc.stop(), return_exceptions=True)

    @contextlib.contextmanager
    def _announced(self) -> Iterator[None]:
        """The run file, there while both ports listen."""
        run_file = self._settings.run_file
        if run_file is not None:
            run_file.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"pid": os.getpid(), "http": self.http, "grpc": self.grpc})
            partial = Path(f"{run_file}.{os.getpid()}.tmp")
            partial.write_text(text, encoding="utf-8")
            partial.replace(run_file)
        self.listening.set()
        _LOGGER.info("listening on %s, HTTP %d, gRPC %d", self._settings.host, self.http, self.grpc)
        try:
            yield
        finally:
            if run_file is not None:
                run_file.unlink(missing_ok=True)

    def _record(self, records: Sequence[InferenceRecord]) -> None:
        if self._log is not None:
            self._log.append(records)


def create_server(settings: ServeSettings, *, open_session: OpenSession = open_bundle) -> FleetServer:
    """A server that `run` starts; `open_session` is where a test puts another model."""
    return FleetServer(settings, open_session)


def serve(settings: ServeSettings, *, open_session: OpenSession = open_bundle) -> None:
    """Serve until SIGTERM, as a process of its own: sets up logging on standard error."""
    gc.freeze()  # what was imported stays: collections that looked through it were a tenth of the CPU of a request
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("uvicorn.access", "uvicorn.error", "kserve", "kserve.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    create_server(settings, open_session=open_session).run()


def _pod() -> str:
    """Name of this process in the log: a restarted container keeps its host name, and must not overwrite parts."""
    return f"{socket.gethostname()}-{uuid4().hex[:8]}"
