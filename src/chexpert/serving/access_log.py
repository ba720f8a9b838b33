"""The access log: one line of JSON for each inference request, on standard output.

Health, metadata and metrics are not logged: probes would drown the rest. A reader that has stopped reading costs lines,
never an answer: they are written by a thread of its own, behind a bounded queue, as many together as come in a moment
(each line's waking would take the processor from a running model).
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, Final, Protocol

import orjson

from chexpert.serving.exchange import Exchange, Stage

__all__ = ["AccessLog", "Sink", "line"]

_LOGGER: Final = logging.getLogger(__name__)
_WAITING: Final = 10_000
"""Lines, some 5 MB."""
_GATHER_S: Final = 0.25
"""From the first of them to their being written."""
_TOGETHER: Final = 64
"""Lines of one write, at most."""
_CLOSE_S: Final = 1.0
_ID_LENGTH: Final = 128


def line(exchange: Exchange) -> dict[str, Any]:
    """What is logged of one request: times in ms, sizes in bytes, names; nothing of an image or a patient."""
    stages = exchange.seconds()
    return {
        "time": datetime.fromtimestamp(exchange.time_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "method": exchange.method,
        "route": exchange.route,
        "status": exchange.status,
        "version": exchange.version,
        "request": exchange.request[:_ID_LENGTH],
        "shadow": exchange.shadow,
        "error": exchange.error,
        "ms": {
            "total": _ms(exchange.ended - exchange.started),
            **{str(stage): _ms(stages[stage]) for stage in Stage if stage in stages},
        },
        "images": exchange.images,
        "batch": exchange.batch,
        "bytes_in": exchange.bytes_in,
        "bytes_out": exchange.bytes_out,
    }


class Sink(Protocol):
    """Where lines go: an unbuffered file, since the lock of a buffer would outlive a reader that has stopped."""

    def write(self, data: bytes, /) -> int | None:
        """Write all of it; OSError once nobody reads any more."""


class AccessLog:
    """Writes lines to a sink; `write` never waits for it."""

    def __init__(self, sink: Sink, waiting: int = _WAITING) -> None:
        """Starts the thread. `waiting`: lines held for a slow reader; what comes beyond is lost, and counted."""
        self._sink = sink
        self._lines: Queue[Mapping[str, Any] | None] = Queue(waiting)
        self._closing = Event()
        self._thread = Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()
        self.dropped = 0
        """Lines lost so far."""

    def write(self, exchange: Exchange) -> None:
        """Log one request as it is now: one that timed out is worked on still; called by one thread."""
        try:
            self._lines.put_nowait(line(exchange))
        except Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, but for no longer than a second: nobody may be reading."""
        self._closing.set()
        try:
            self._lines.put(None, timeout=_CLOSE_S)
            self._thread.join(_CLOSE_S)
        except Full:
            self.dropped += self._lines.qsize()
        if self.dropped:
            _LOGGER.warning("%d lines of the access log are lost: their reader was too slow, or gone", self.dropped)

    def _run(self) -> None:
        going_on = True
        while going_on:
            told = self._gathered()
            going_on = told[-1] is not None
            lines = [orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in told if one is not None]
            try:
                self._sink.write(b"".join(lines))
            except OSError:
                self.dropped += len(lines)
                return  # closed by its reader, as by `head`: once the queue is full, lines are counted as lost

    def _gathered(self) -> list[Mapping[str, Any] | None]:
        """What comes in a moment, or at once what fills a write; at least one; None behind the last of all."""
        told = [self._lines.get()]
        if self._lines.qsize() < _TOGETHER:
            self._closing.wait(_GATHER_S)
        while told[-1] is not None and len(told) < _TOGETHER and not self._lines.empty():
            told.append(self._lines.get())
        return told


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 3)
