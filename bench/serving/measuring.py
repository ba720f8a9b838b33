"""Asks every way in turns: first whether the answers agree, then how fast they come."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from http.client import HTTPConnection
from typing import Any, Final

import grpc
import numpy as np
from bench.serving.bare import opened
from bench.serving.client import GRPC_METHOD, TIMEOUT_S, Job, Outcome
from bench.serving.fixtures import SIZE, Fixtures, Served
from bench.serving.processes import Running
from bench.serving.table import numbers
from bench.serving.ways import Loop, Scores, Way, python
from numpy.typing import NDArray

from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import PreprocessSpec, preprocess

EQUAL: Final = 1e-4
"""Largest score difference of the same precision: sums in another order make 1e-6."""
SAME_VARIANT: Final = 1e-5
"""Largest score difference of a reduced precision between a lone caller and callers together.

Static int8 and OpenVINO's bf16 and int8 showed none, in batches of 2, 4 and 16 and from four threads (DenseNet-121 of
320 px, ViT-S/16 of 64 px). Dynamic int8 moves by up to 0.17 in a batch, so the server gives each image its own run.
"""
CONCURRENCIES: Final = (1, 4)


class DifferentAnswers(Exception):
    """A server answers other scores than its model, so its speed means nothing."""

    def __init__(self, way: str, difference: float, allowed: float) -> None:
        super().__init__(f"{way} answers scores that differ by {difference:.2g}, allowed are {allowed:.2g}")


class LostRequests(Exception):
    """Requests of a measurement were not answered."""

    def __init__(self, way: str, outcome: Outcome) -> None:
        first = outcome.failed[0] if outcome.failed else "refused"
        super().__init__(f"{way}: {len(outcome.failed)} failed and {outcome.refused} refused, the first: {first}")


def truth(fixtures: Fixtures, served: Served) -> dict[bool, Scores]:
    """What a bare loop over the bundle answers to all asked images; under True to the JPEGs, under False to pixels."""
    run, spec = opened(served.folder, "bundle"), PreprocessSpec(size=SIZE)
    of_jpegs = np.stack([preprocess(decode(data, target=SIZE), spec) for data in fixtures.jpegs()])[:, None]
    return {jpeg: _each(run, pixels) for jpeg, pixels in ((False, fixtures.pixels()), (True, of_jpegs))}


def _each(run: Any, pixels: NDArray[np.uint8]) -> Scores:
    return np.concatenate([run(pixels[at : at + 1]) for at in range(len(pixels))])


def check(way: Way, server: Running, expected: Scores, allowed: float) -> float:
    """Largest difference of any score to what is expected, of one caller and of several at once.

    Raises:
        DifferentAnswers: It is more than allowed.
    """
    difference = float(np.max([_difference(way, server, expected, callers) for callers in CONCURRENCIES]))
    if not difference <= allowed:  # NaN too
        raise DifferentAnswers(way.name, difference, allowed)
    return difference


def _difference(way: Way, server: Running, expected: Scores, callers: int) -> float:
    """Each caller asks about all images, and holds each answer against its own image, begun at another one.

    What is asked at once shares runs of the graph, as in the measurement.
    """
    ask, port = (_ask_http, server.http) if way.path else (_ask_grpc, server.grpc)
    begun = threading.Barrier(callers)

    def caller(number: int) -> float:
        order = rotated(range(len(way.bodies)), number * len(way.bodies) // callers)
        begun.wait(TIMEOUT_S)
        answers = ask(way, port, [way.bodies[at] for at in order])
        return float(np.abs(np.stack(list(answers)) - expected[order]).max())

    with ThreadPoolExecutor(callers) as pool:
        differences = list(pool.map(caller, range(callers)))
    return float(np.max(differences))  # NaN if one is: max() may hide it


def _ask_http(way: Way, port: int, bodies: Sequence[bytes]) -> Iterator[Scores]:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    for body in bodies:
        connection.request("POST", way.path, body, dict(way.headers))
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:  # noqa: PLR2004 -- OK
            msg = f"{way.name}: {response.status}: {text[:300]!r}"
            raise RuntimeError(msg)
        yield way.scores(text, {name.lower(): value for name, value in response.getheaders()})
    connection.close()


def _ask_grpc(way: Way, port: int, bodies: Sequence[bytes]) -> Iterator[Scores]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(GRPC_METHOD)
        for body in bodies:
            yield way.scores(call(body, timeout=TIMEOUT_S), {})


class Turns:
    """One measurement after the other, each by a fresh client process."""

    def __init__(self, fixtures: Fixtures, seconds: Mapping[int, float]) -> None:
        """`seconds` by concurrency."""
        self._fixtures = fixtures
        self._seconds = seconds

    def way(self, way: Way, server: Running) -> dict[str, float]:
        """Speed of a server at each concurrency.

        Raises:
            LostRequests: One was not answered.
        """
        found: dict[str, float] = {}
        for concurrency, seconds in self._seconds.items():
            outcome = self.load(way, server, concurrency=concurrency, seconds=seconds)
            if outcome.failed or outcome.refused:
                raise LostRequests(way.name, outcome)
            found |= numbers(outcome.latencies_ms, outcome.elapsed_s, concurrency)
        return found

    def load(self, way: Way, server: Running, *, concurrency: int, seconds: float = 0.0, requests: int = 0) -> Outcome:
        """Any load on a server."""
        folder = self._fixtures.root / "bodies" / "".join(c if c.isalnum() else "-" for c in way.name)
        folder.mkdir(parents=True, exist_ok=True)
        for number, body in enumerate(way.bodies):
            (folder / f"{number:02}").write_bytes(body)
        port = server.http if way.path else server.grpc
        job = Job(port, str(folder), way.path, dict(way.headers), concurrency, seconds, requests)
        return Outcome(**_printed(python("client"), json.dumps(asdict(job))))

    def loop(self, loop: Loop) -> dict[str, float]:
        """Speed of a bare loop at each concurrency."""
        found: dict[str, float] = {}
        pixels = str(self._fixtures.root / f"pixels-{SIZE}.npy")
        for concurrency, seconds in self._seconds.items():
            command = python("bare", str(loop.served.folder), pixels, str(concurrency), str(seconds), loop.how)
            told = _printed(command, "")
            found |= numbers(told["latencies_ms"], told["elapsed_s"], concurrency)
        return found


def rotated(things: Sequence[Any], turn: int) -> list[Any]:
    """The same things, begun elsewhere in each turn."""
    start = turn % len(things)
    return [*things[start:], *things[:start]]


def import_seconds() -> float:
    """Wall time of `python -c "import kserve"`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import kserve"], check=True)
    return time.perf_counter() - started


def _printed(command: Sequence[str], text: str) -> dict[str, Any]:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603 -- a module of ours
    if done.returncode:
        msg = f"{' '.join(command[1:4])} ended with {done.returncode}: {done.stderr[-800:]}"
        raise RuntimeError(msg)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
