"""Following the served file: under load, through broken bundles and broken files."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from chexpert.bundle.store import BundleRef
from chexpert.serving.client import PredictorUnavailable, V2Client
from chexpert.testing import bundles

PIXELS = np.full((1, 1, 64, 64), 100).tolist()
BODY = {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 64, 64], "data": PIXELS}]}

Write = Callable[..., str]


class Load:
    """What some callers saw while they asked without a pause."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[int, str]] = Counter()
        self.failed: list[Exception] = []
        self.done = threading.Event()

    def ask(self, url: str) -> None:
        """One caller, until `done`."""
        with httpx.Client(base_url=url, timeout=30.0) as client:
            while not self.done.is_set():
                try:
                    answer = client.post("/v2/models/chexpert/infer", json=BODY)
                except httpx.TransportError as error:
                    self.failed.append(error)
                else:
                    self.seen[answer.status_code, answer.headers.get("x-model-version", "")] += 1


@contextmanager
def load(url: str, callers: int = 3) -> Iterator[Load]:
    """Callers in threads, ended with the block."""
    running = Load()
    threads = [threading.Thread(target=running.ask, args=(url,)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.done.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def served(start: Callable[..., Any], isvc_text: Write) -> Any:
    """A server whose environment is empty at first."""
    return start(isvc_text(None))


@pytest.fixture
def fresh(served: Any, isvc_text: Write, one: BundleRef) -> Any:
    """The same server with v1 alone."""
    served.put(isvc_text(("v1", one)))
    served.wait_weights({"v1": 100})
    return served


def test_an_empty_environment_says_no_model_yet(served: Any, isvc_text: Write, jpeg: bytes) -> None:
    """Live but not ready; a request is a 503 with a time to come back, not a hang and not a 500."""
    served.put(isvc_text(None))
    served.wait(lambda client: "no model yet" in client.readiness().reason, "no model yet")
    with V2Client(served.http) as client, pytest.raises(PredictorUnavailable, match="no model yet"):
        client.score_images([jpeg])
    answer = httpx.post(f"{served.http}/v2/models/chexpert/infer", json=BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert httpx.get(f"{served.http}/v2/health/live").status_code == 200
    assert httpx.get(f"{served.http}/v2/models/chexpert/versions/v1/ready").status_code == 503


def test_a_whole_rollout_costs_no_answer(fresh: Any, isvc_text: Write, one: BundleRef, two: BundleRef) -> None:
    """10, 50, 100, swap and back under load: every answer is a 200, none is lost, both versions answered."""
    stages: list[tuple[str, dict[str, int]]] = [
        (isvc_text(("v1", one), ("v2", two, 10)), {"v1": 90, "v2": 10}),
        (isvc_text(("v1", one), ("v2", two, 50)), {"v1": 50, "v2": 50}),
        (isvc_text(("v1", one), ("v2", two, 100)), {"v1": 0, "v2": 100}),
        (isvc_text(("v2", two), ("v1", one, 0)), {"v2": 100, "v1": 0}),
        (isvc_text(("v1", one), ("v2", two, 0)), {"v1": 100, "v2": 0}),
        (isvc_text(("v1", one)), {"v1": 100}),
    ]
    with load(fresh.http) as asked:
        for text, weights in stages:
            fresh.put(text)
            fresh.wait_weights(weights)
    assert not asked.failed
    assert {code for code, _ in asked.seen} == {200}
    assert asked.seen[200, "v1"] > 0
    assert asked.seen[200, "v2"] > 0


def test_a_bundle_of_another_digest_is_never_served(
    fresh: Any, isvc_text: Write, one: BundleRef, two: BundleRef
) -> None:
    """The old version answers on, and the reason is told; once the file is right it is followed again."""
    lying = replace(two, digest="ab" * 32)
    with load(fresh.http, callers=1) as asked:
        fresh.put(isvc_text(("v1", one), ("v2", lying, 50)))
        fresh.wait(lambda client: "digest" in client.metadata().problem, "the refusal")
    assert not asked.failed
    assert asked.seen.keys() == {(200, "v1")}
    with V2Client(fresh.http) as client:
        assert client.readiness().ready
        assert client.metadata().weights == {"v1": 100}
    assert "digest" in fresh.log.read_text()
    fresh.put(isvc_text(("v1", one), ("v2", two, 50)))
    fresh.wait_weights({"v1": 50, "v2": 50})
    fresh.wait(lambda client: client.metadata().problem == "", "no problem")


def test_an_altered_bundle_is_never_served(fresh: Any, isvc_text: Write, one: BundleRef) -> None:
    """One byte more in the graph, and the version does not come up."""
    altered = bundles.tiny(f"{fresh.objects}/bundles", seed=33)
    with open(f"{altered.uri}/model.onnx", "ab") as graph:  # noqa: PTH123 -- a URI that is a path here
        graph.write(b"\x00")
    fresh.put(isvc_text(("v1", one), ("v3", altered, 50)))
    fresh.wait(lambda client: "model.onnx" in client.metadata().problem, "the refusal")
    with V2Client(fresh.http) as client:
        assert client.metadata().versions == ("v1",)


@pytest.mark.parametrize("text", ["spec: [", "kind: Pod\n", ""])
def test_a_broken_file_changes_nothing(fresh: Any, text: str, jpeg: bytes) -> None:
    """What does not parse is not followed, and readiness says so while the old version answers."""
    fresh.put(text)
    fresh.wait(lambda client: "line 1" in client.metadata().problem, "the refusal")
    with V2Client(fresh.http) as client:
        assert client.score_images([jpeg])[0].version == "v1"
    assert "line 1" in httpx.get(f"{fresh.http}/v2/health/ready").json()["problem"]


def test_a_vanished_file_changes_nothing(fresh: Any, jpeg: bytes) -> None:
    """Git takes a file away before it writes the next one."""
    fresh.manifest.unlink()
    fresh.wait(lambda client: "No such file" in client.metadata().problem, "the refusal")
    with V2Client(fresh.http) as client:
        assert client.score_images([jpeg])[0].version == "v1"


def test_a_new_bundle_under_an_old_name_is_loaded(fresh: Any, isvc_text: Write, two: BundleRef) -> None:
    """The digest decides what is served, not the name."""
    fresh.put(isvc_text(("v1", two)))
    fresh.wait(lambda client: client.metadata().digests == {"v1": two.digest}, "the other bundle")
