"""The one client of every server: prepared bytes over kept connections, a process of its own.

A job comes as JSON on standard input, the result goes as JSON to standard output. Each of `concurrency` threads sends
its next request when the last is answered. Bodies are encoded beforehand, an answer is read but not parsed, and libcurl
speaks HTTP and gRPC, so that the client costs a fraction of a millisecond per request: it runs on the server's cores.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pycurl

GRPC_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
WARM_UP: Final = 2
"""Requests of each thread that are not counted."""
TIMEOUT_S: Final = 60
REFUSED_PAUSE_S: Final = 0.05
"""After a refusal; Retry-After says more, and the harder case is wanted."""
GRPC_HEADERS: Final[Mapping[str, str]] = MappingProxyType({"content-type": "application/grpc", "te": "trailers"})
GRPC_OK: Final = b"grpc-status: 0\r\n"
GRPC_UNAVAILABLE: Final = "14"


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
    if not job.path:
        bodies = [b"\0" + len(body).to_bytes(4, "big") + body for body in bodies]  # a message of gRPC, not compressed
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
    send = _sender(job)
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


def _sender(job: Job) -> Callable[[bytes, Outcome], bool]:
    """What sends one body over a connection of its own, notes the outcome and says whether it was answered."""
    curl, told, text = pycurl.Curl(), list[bytes](), list[bytes]()
    headers = job.headers if job.path else GRPC_HEADERS
    curl.setopt(pycurl.URL, f"http://127.0.0.1:{job.port}{job.path or GRPC_METHOD}")
    # Without Expect: libcurl would ask first whether a body of a megabyte is welcome.
    curl.setopt(pycurl.HTTPHEADER, ["Expect:", *(f"{name}: {value}" for name, value in headers.items())])
    curl.setopt(pycurl.POST, 1)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.TIMEOUT, TIMEOUT_S)
    curl.setopt(pycurl.HEADERFUNCTION, told.append)
    curl.setopt(pycurl.WRITEFUNCTION, text.append)
    if not job.path:
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)

    def send(body: bytes, outcome: Outcome) -> bool:
        told.clear()
        text.clear()
        curl.setopt(pycurl.POSTFIELDSIZE, len(body))
        curl.setopt(pycurl.POSTFIELDS, body)
        try:
            curl.perform()
        except pycurl.error as error:
            outcome.failed.append(f"libcurl {error}")
            return False
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        if status == HTTPStatus.OK and (job.path or GRPC_OK in told):
            return True
        fields = _fields(told)
        if status == HTTPStatus.SERVICE_UNAVAILABLE or fields.get("grpc-status") == GRPC_UNAVAILABLE:
            outcome.refused += 1
            outcome.retry_after += "retry-after" in fields
        else:
            grpc = f" gRPC {fields.get('grpc-status')} {fields.get('grpc-message')}" if not job.path else ""
            outcome.failed.append(f"{status}{grpc}: {b''.join(text)[:200]!r}")
        return False

    return send


def _fields(lines: Sequence[bytes]) -> dict[str, str]:
    """Header and trailer fields of an answer, by their names in small letters."""
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in pairs}


if __name__ == "__main__":
    main()
