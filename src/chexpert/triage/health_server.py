"""The worker's probe and metrics over HTTP: GET /live and /metrics, numbers only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from chexpert.triage.database import Database
from chexpert.triage.pulse import Pulse
from chexpert.triage.tables import ImageRow, LabelEventRow, Study

__all__ = ["SILENT_MAX_S", "metrics", "serving_health"]

SILENT_MAX_S: Final = 60.0
"""Longer than a turn takes in which every request waits for its time limit: a loop silent for this long hangs."""
_REQUEST_S: Final = 10.0
"""A peer that sends nothing for so long is hung up on."""


@dataclass(frozen=True, slots=True)
class _Queue:
    """What waits in the tables."""

    studies: int
    images: int
    events: int
    lag_s: float
    """Age of the oldest label event that is not exported."""


def metrics(database: Database, pulse: Pulse) -> str:
    """The worker in Prometheus' text format. Without the tables' answer their lines are missing, and `up` says so."""
    queue = _queue(database)
    lines = [
        *_lines("worker_silent_seconds", "gauge", "Since the slower of its loops went on.", pulse.silent_s()),
        *_lines("predictor_up", "gauge", "Whether the predictor answered the last request.", not pulse.predictor_down),
        *_lines("tables_up", "gauge", "Whether the tables answered this request.", queue is not None),
        *_heading("images_total", "counter", "Asked for since the worker started."),
        *(f'chexpert_images_total{{outcome="{outcome}"}} {count}' for outcome, count in pulse.outcomes().items()),
    ]
    if queue is not None:
        lines += [
            *_lines("studies_waiting", "gauge", "Neither signed nor rejected.", queue.studies),
            *_lines("images_pending", "gauge", "The model has neither answered nor refused them.", queue.images),
            *_lines("label_events_pending", "gauge", "Signed and not exported.", queue.events),
            *_lines("export_lag_seconds", "gauge", "Since the oldest of these was answered.", queue.lag_s),
        ]
    return "\n".join([*lines, ""])


@contextmanager
def serving_health(host: str, port: int, database: Database, pulse: Pulse) -> Iterator[int]:
    """Serve until the block ends; gives the port, which is a free one for 0.

    Raises:
        OSError: the port is taken.
    """

    class Handler(_Handler):
        def answer(self) -> tuple[HTTPStatus, str] | None:
            if self.path == "/live":
                silent_s = pulse.silent_s()
                status = HTTPStatus.OK if silent_s < SILENT_MAX_S else HTTPStatus.SERVICE_UNAVAILABLE
                return status, f"last turn {silent_s:.0f} s ago\n"
            return (HTTPStatus.OK, metrics(database, pulse)) if self.path == "/metrics" else None

    with ThreadingHTTPServer((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_S

    def answer(self) -> tuple[HTTPStatus, str] | None:
        """Status and text of this path; None: there is no such."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer one request."""
        status, text = self.answer() or (HTTPStatus.NOT_FOUND, "/live and /metrics are here\n")
        self.send_response(status)
        self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Probes are not worth a line each."""


def _queue(database: Database) -> _Queue | None:
    """None: the tables do not answer."""
    count = select(func.count())
    open_events = ~LabelEventRow.exported
    try:
        with database.read() as session:
            studies, images, events, oldest = session.execute(
                select(
                    count.select_from(Study).where(Study.waiting).scalar_subquery(),
                    count.select_from(ImageRow).where(ImageRow.pending).scalar_subquery(),
                    count.select_from(LabelEventRow).where(open_events).scalar_subquery(),
                    select(func.min(LabelEventRow.time)).where(open_events).scalar_subquery(),
                ),
            ).one()
    except SQLAlchemyError:
        return None
    lag_s = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    return _Queue(studies, images, events, max(0.0, lag_s))


def _heading(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP chexpert_{name} {text}", f"# TYPE chexpert_{name} {kind}"]


def _lines(name: str, kind: str, text: str, value: float) -> list[str]:
    return [*_heading(name, kind, text), f"chexpert_{name} {value:g}"]
