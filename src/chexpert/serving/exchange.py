"""One inference request while it is answered: what metrics, access log and spans are made of."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Exchange", "Passage", "Stage"]


class Stage(StrEnum):
    """Where the time of one request goes."""

    QUEUE = "queue"
    """Waiting for a worker, and for the batch under way."""
    DECODE = "decode"
    """From an encoded image to the model's pixels."""
    MODEL = "model"
    """The run of the graph, the whole batch's."""
    ENCODE = "encode"
    """From scores to the bytes of the answer."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One stage of one request."""

    stage: Stage
    started: float
    """As of `time.perf_counter`, s."""
    ended: float
    """As `started`."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started


@dataclass(slots=True)
class Exchange:
    """Filled by the event loop and by the threads of the version; read once the answer is known.

    It holds no part of an image and no field of a study: only sizes, times and names.
    """

    method: str
    """HTTP's, or `gRPC`."""
    route: str
    """The pattern of the path, not the path: nothing a caller wrote."""
    request: str
    """Identity of the request: the caller's, else a new one."""
    parent: Mapping[str, str] = field(default_factory=dict)
    """Headers `traceparent` and `tracestate` (W3C Trace Context), if the caller sent them."""
    version: str = ""
    """Version that took it; empty: none did."""
    status: int | str = ""
    """HTTP status, or the name of gRPC's."""
    error: str = ""
    """Kind of the error, without its words, which may quote the request; empty: none."""
    shadow: bool = False
    images: int = 0
    batch: int = 0
    """Images in the run that answered it; 0: no run did."""
    bytes_in: int = 0
    bytes_out: int = 0
    time_ns: int = field(default_factory=time.time_ns)
    """When it began, since 1970."""
    started: float = field(default_factory=time.perf_counter)
    """The same instant as of `time.perf_counter`, s."""
    ended: float = 0.0
    passages: list[Passage] = field(default_factory=list)
    """In the order in which they ended; only appended to, so that a thread may add while another reads."""

    def passed(self, stage: Stage, started: float, ended: float | None = None) -> None:
        """Note a stage that began at `started` and ended now, or at `ended`."""
        self.passages.append(Passage(stage, started, time.perf_counter() if ended is None else ended))

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Note the block as a stage, however it ends."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.passed(stage, started)

    def seconds(self) -> dict[Stage, float]:
        """Seconds by stage, of those it came to."""
        sums: dict[Stage, float] = {}
        for passage in tuple(self.passages):
            sums[passage.stage] = sums.get(passage.stage, 0.0) + passage.seconds
        return sums
