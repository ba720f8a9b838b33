"""The one client of every server: prepared bytes over kept connections, a process of its own.

A job comes as JSON on standard input, the result goes as JSON to standard output. Each of `concurrency` threads sends
its next request when the last is answered. Bodies are encoded beforehand, and an answer is read but not parsed, so that
the client costs a fraction of a millisecond per request.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

GRPC_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
WARM_UP: Final = 2
"""Requests of each thread that are not counted."""
TIMEOUT_S: Final = 60.0
REFUSED_PAUSE_S: Final = 0.05
"""After a refusal; Retry-After says more, and the harder case is wanted."""
UNAVAILABLE: Final = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Job:
    """What to send, how many at once, and until when."""

    port: int
    folder: str
    """Holds one request body per file; thread t sends them in order from number t on."""
    path: str = ""
    """Of HTTP; empty: gRPC's ModelInfer."""
    headers: dict[str, str] = field(default_factory=dict)
    concurrency: int = 1
    seconds: float = 2.0
    """Without `requests`: no request begins after so long."""
    requests: int = 0
    """Requests of all threads together; 0: until the time is over."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    latencies_ms: list[float] = field(default_factory=list)
    """Of answered requests."""
    elapsed_s: float = 0.0
    """From the first counted request to the end of the last."""
    refused: int = 0
    """503, or UNAVAILABLE of gRPC."""
    retry_after: int = 0
    """Refusals that say when to come again."""
    failed: list[str] = field(default_factory=list)
    """Everything else, a line each."""


def main() -> None:
    """Run the job of standard input."""
    print(json.dumps(asdict(run(Job(**json.load(sys.stdin))))))


def run(job: Job) -> Outcome:
    """Send until the job is done."""
    bodies = [path.read_bytes() for path in sorted(Path(job.folder).iterdir())]
    outcomes = [Outcome() for _ in range(job.concurrency)]
    ready = threading.Barrier(job.concurrency + 1)
    quota = [
        job.requests // job.concurrency + (number < job.requests % job.concurrency) for number in range(job.concurrency)
    ]
    threads = [
        threading.Thread(
            target=_thread,
            args=(job, bodies, number),
            kwargs={"ready": ready, "quota": quota[number], "outcome": outcome},
        )
        for number, outcome in enumerate(outcomes)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    whole = Outcome(elapsed_s=time.perf_counter() - started)
    for one in outcomes:
        whole.latencies_ms += one.latencies_ms
        whole.failed += one.failed
        whole.refused += one.refused
        whole.retry_after += one.retry_after
    return whole


def _thread(
    job: Job,
    bodies: Sequence[bytes],
    number: int,
    *,
    ready: threading.Barrier,
    quota: int,
    outcome: Outcome,
) -> None:
    send = _http(job) if job.path else _grpc(job)
    for _ in range(WARM_UP):
        send(bodies[number % len(bodies)], Outcome())
    ready.wait()
    until = time.perf_counter() + job.seconds
    turn = 0
    while turn < quota if job.requests else time.perf_counter() < until:
        refused = outcome.refused
        started = time.perf_counter()
        if send(bodies[(number + turn) % len(bodies)], outcome):
            outcome.latencies_ms.append(1000.0 * (time.perf_counter() - started))
        if outcome.refused > refused:
            time.sleep(REFUSED_PAUSE_S)
        turn += 1


def _http(job: Job) -> Callable[[bytes, Outcome], bool]:
    connection = HTTPConnection("127.0.0.1", job.port, timeout=TIMEOUT_S)

    def send(body: bytes, outcome: Outcome) -> bool:
        try:
            connection.request("POST", job.path, body, job.headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            connection.close()
            outcome.failed.append(f"{type(error).__name__}: {error}")
            return False
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            outcome.refused += 1
            outcome.retry_after += response.getheader("retry-after") is not None
        elif response.status != HTTPStatus.OK:
            outcome.failed.append(f"{response.status}: {text[:200]!r}")
        return response.status == HTTPStatus.OK

    return send


def _grpc(job: Job) -> Callable[[bytes, Outcome], bool]:
    import grpc  # noqa: PLC0415 -- a third of a second that HTTP does not need

    channel = grpc.insecure_channel(
        f"127.0.0.1:{job.port}",
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)],
    )
    call: Any = channel.unary_unary(GRPC_METHOD)  # bytes in, bytes out

    def send(body: bytes, outcome: Outcome) -> bool:
        try:
            call(body, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code().name == UNAVAILABLE:
                outcome.refused += 1
            else:
                outcome.failed.append(f"{error.code().name}: {error.details()}")
            return False
        return True

    return send


if __name__ == "__main__":
    main()
