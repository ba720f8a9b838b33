"""Before anything is timed, `make bench-serving` holds answers against the model, of one caller and of four at once."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

EXPECTED = np.random.default_rng(0).random((8, 14)).astype(np.float32)
Answer = Callable[[int, int], np.ndarray]
"""From the number of the image and that of the requests in flight to its scores."""


@contextmanager
def serving(answer: Answer) -> Iterator[SimpleNamespace]:
    """A server whose bodies are numbers of images; `most` tells how many requests were in flight at once."""
    seen = SimpleNamespace(http=0, grpc=0, flying=0, most=0)
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            number = int(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                seen.flying += 1
                seen.most = max(seen.most, seen.flying)
            time.sleep(0.02)
            text = json.dumps({"scores": answer(number, seen.flying).tolist()}).encode()
            with lock:
                seen.flying -= 1
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        seen.http = server.server_port
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def measuring(bench: Callable[[str], Any]) -> Any:
    return bench("serving.measuring")


@pytest.fixture
def way(bench: Callable[[str], Any]) -> Any:
    ways = bench("serving.ways")
    return ways.Way("fake", "fake", "/raw", {}, [str(at).encode() for at in range(len(EXPECTED))], ways.json_scores)


def test_equal_answers_pass_alone_and_together(measuring: Any, way: Any) -> None:
    """Each of four callers gets its own image's scores, while the others ask too."""
    with serving(lambda number, _: EXPECTED[number]) as server:
        assert measuring.check(way, server, EXPECTED, 1e-6) < 1e-6
        assert server.most > 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda number, flying: EXPECTED[number - 1] if flying > 1 else EXPECTED[number],
        lambda number, flying: EXPECTED[number] + 0.01 * (flying > 1),
        lambda number, flying: EXPECTED[number] * (np.nan if flying > 1 else 1.0),
    ],
    ids=["another caller's", "moved", "NaN"],
)
def test_what_is_wrong_in_shared_runs_only_is_refused(measuring: Any, way: Any, wrong: Answer) -> None:
    """A server that answers a lone caller right and callers together wrong is not measured."""
    with serving(wrong) as server, pytest.raises(measuring.DifferentAnswers, match="fake answers scores"):
        measuring.check(way, server, EXPECTED, 1e-3)


def test_what_is_wrong_for_one_caller_is_refused(measuring: Any, way: Any) -> None:
    """The other way round as well."""
    with serving(lambda number, _: EXPECTED[number] + 0.01) as server, pytest.raises(measuring.DifferentAnswers):
        measuring.check(way, server, EXPECTED, 1e-3)


@pytest.mark.parametrize(
    ("flags", "judged"),
    [("avx2", False), ("avx2 avx_vnni", True), ("avx2 avx512_vnni", True), ("avx2 avx512_bf16", True)],
)
def test_a_processor_for_8_or_16_bits_is_judged(bench: Callable[[str], Any], flags: str, *, judged: bool) -> None:
    """Any of these instructions makes reduced precision worth it, VNNI without AVX-512 too; without them no verdict."""
    ways = bench("serving.ways")
    names = [name for name in vars(ways).values() if isinstance(name, str) and name not in {ways.INFER, ways.READY}]
    numbers = dict.fromkeys(("p50_c1", "rps_c4", "p99_c4"), 10.0)
    rows = bench("serving.lines").lines([dict.fromkeys(names, numbers)], flags=flags)
    row = next(row for row in rows if row.what == f"{ways.OURS_GRPC}: p50 at c=1 / {ways.BARE_FP32}")
    assert (row.met is not None) is judged
    assert bool(row.note) is not judged


def test_the_processor_names_all_that_a_line_asks_for(bench: Callable[[str], Any]) -> None:
    """What decides whether a line is judged is among the flags that are saved."""
    assert set(bench("serving.lines").INSTRUCTIONS) <= set(bench("_saving").FLAGS)


def test_the_packages_that_shape_the_fixtures_are_installed(bench: Callable[[str], Any]) -> None:
    """Their versions stamp the fixtures: one that is not among the requirements would stop the benchmark."""
    fixtures = bench("serving.fixtures")
    assert all(version(package) for package in (*fixtures._TRAINED_BY, *fixtures._EXPORTED_BY))


def test_only_what_was_built_under_another_stamp_goes(bench: Callable[[str], Any], tmp_path: Path) -> None:
    """A broken-off build is gone on with; another stamp removes all but what is to be kept."""
    clear = bench("serving.fixtures")._clear_unless

    def left(version: str) -> set[str]:
        clear(tmp_path, "variants.json", {"onnx": version}, keep=("trained",))
        return {path.name for path in tmp_path.iterdir()}

    (tmp_path / "trained").mkdir()
    (tmp_path / "bundles").mkdir()
    (tmp_path / "pixels.npy").touch()
    assert left("1") == left("1") == {"trained", "bundles", "pixels.npy", "variants.json"}
    assert left("2") == left("2") == {"trained", "variants.json"}
