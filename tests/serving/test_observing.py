"""What Prometheus sees of stages, batches and refusals."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chexpert.bundle.store import BundleRef
from chexpert.serving.client import PredictorRefused, V2Client

Write = Callable[..., str]
BODY = {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 64, 64], "data": [9] * 4096}]}


def samples(http: str, name: str) -> dict[tuple[str, ...], float]:
    """Values of one sample by the values of its labels, the version first."""
    families = text_string_to_metric_families(httpx.get(f"{http}/metrics").text)
    return {
        tuple(s.labels[k] for k in sorted(s.labels, reverse=True)): s.value
        for family in families
        for s in family.samples
        if s.name == name
    }


@pytest.fixture(scope="module")
def switch(folder: Path) -> Path:
    """The canary is slow while this file is there."""
    return folder / "slow"


@pytest.fixture(scope="module")
def served(start: Callable[..., Any], isvc_text: Write, one: BundleRef, two: BundleRef, switch: Path) -> Any:
    """A server that takes four requests of a version at a time and runs up to eight images together."""
    faulty = ("-m", "chexpert.testing.faults", "slow", f"--switch={switch}", "--delay-ms=5000", "--")
    running = start(isvc_text(("v1", one), ("v2", two, 0)), "--queue=4", program=faulty)
    running.wait_weights({"v1": 100, "v2": 0})
    return running


def test_each_stage_is_timed_under_its_version(served: Any, jpeg: bytes) -> None:
    """One answer is one observation of queue, decode, model, encode and the total; a shadow is none."""
    before = samples(served.http, "chexpert_stage_seconds_count")
    with V2Client(served.http) as client:
        client.score_images([jpeg])
        client.score_images([jpeg], shadow=True)
    after = samples(served.http, "chexpert_stage_seconds_count")
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    assert grown == {("v1", stage): 1.0 for stage in ("queue", "decode", "model", "encode", "total")}


def test_what_waits_together_is_one_run_and_what_is_too_much_is_refused(served: Any, switch: Path) -> None:
    """Six callers of a busy version with four places: one runs, three wait and share a run, two may come later.

    Every answer is the one that the image has alone. In flight are four while it lasts, and none after.
    """
    url = f"{served.http}/v2/models/chexpert/versions/v2/infer"
    timed = samples(served.http, "chexpert_stage_seconds_count").get(("v2", "total"), 0.0)
    alone = httpx.post(url, json=BODY, timeout=30).json()["outputs"][0]["data"]
    answers: list[httpx.Response] = []

    def value(name: str) -> float:
        return samples(served.http, name)["v2",]

    def ask() -> None:
        answers.append(httpx.post(url, json=BODY, timeout=30))

    runs, callers = value("chexpert_batch_images_count"), [threading.Thread(target=ask) for _ in range(6)]
    switch.touch()
    callers[0].start()
    while value("chexpert_batch_images_count") == runs:
        time.sleep(0.02)
    for caller in callers[1:]:
        caller.start()
    while len(answers) < 2:
        time.sleep(0.02)
    in_flight = value("chexpert_in_flight_requests")
    switch.unlink()  # the run under way stays slow, the next is not
    for caller in callers:
        caller.join()
    assert in_flight == 4
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 503, 503]
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 503} == {"1"}
    for answer in answers:
        if answer.status_code == 200:
            assert answer.json()["outputs"][0]["data"] == pytest.approx(alone, abs=1e-6)
    assert value("chexpert_batch_images_count") == runs + 2
    assert value("chexpert_in_flight_requests") == 0
    assert samples(served.http, "chexpert_stage_seconds_count")["v2", "total"] == timed + 5  # not the two refused
    assert samples(served.http, "chexpert_refused_requests_total")["v2", "queue_full"] == 2


def test_a_refusal_is_no_sample_of_the_total(served: Any) -> None:
    """What is no image is a fast 400 of its version: counted as rejected, but no request that was ever so fast."""
    before = samples(served.http, "chexpert_stage_seconds_count").get(("v1", "total"), 0.0)
    with V2Client(served.http) as client, pytest.raises(PredictorRefused):
        client.score_images([b"no image"], version="v1")
    assert samples(served.http, "chexpert_stage_seconds_count").get(("v1", "total"), 0.0) == before
    assert samples(served.http, "chexpert_requests_total")["v1", "false", "rejected"] == 1
