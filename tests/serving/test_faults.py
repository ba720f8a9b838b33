"""Servers with a planted fault: what the caller and the other version see."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from chexpert.bundle.store import BundleRef
from chexpert.domain.digests import of_bytes
from chexpert.serving.client import PredictorFault, V2Client
from chexpert.serving.inference_log import table_to_columns

Write = Callable[..., str]


def test_faulty_versions_answer_500_and_the_caller_learns_which(
    start: Callable[..., Any], isvc_text: Write, one: BundleRef, two: BundleRef, jpeg: bytes
) -> None:
    """A planted fault hits the canary alone, only while its switch is there, and names its version."""
    switch = one.uri.rsplit("/", 1)[0] + "/switch"
    arguments = ("-m", "chexpert.testing.faults", "errors", "--switch", switch, "--share", "1.0", "--")
    served = start(isvc_text(("v1", one), ("v2", two, 50)), program=arguments)
    served.wait_weights({"v1": 50, "v2": 50})
    with V2Client(served.http) as client:
        assert {client.score_images([jpeg])[0].version for _ in range(2)} == {"v1", "v2"}
        Path(switch).touch()
        assert client.score_images([jpeg], version="v1")[0].version == "v1"
        with pytest.raises(PredictorFault) as caught:
            client.score_images([jpeg], version="v2")
        assert (caught.value.status, caught.value.version) == (500, "v2")
        Path(switch).unlink()
        assert client.score_images([jpeg], version="v2")[0].version == "v2"


def test_a_fault_that_is_on_from_the_start_hits_callers_and_not_the_start(
    start: Callable[..., Any], isvc_text: Write, one: BundleRef, two: BundleRef, jpeg: bytes
) -> None:
    """Half of the answers fail from the first one on, and the version still becomes ready to fail them."""
    arguments = ("-m", "chexpert.testing.faults", "errors", "--switch=/dev/null", "--version=v2", "--")
    served = start(isvc_text(("v1", one), ("v2", two, 50)), program=arguments)
    served.wait_weights({"v1": 50, "v2": 50})
    failed = 0
    with V2Client(served.http) as client:
        for _ in range(4):
            try:
                client.score_images([jpeg], version="v2")
            except PredictorFault:
                failed += 1
    assert failed == 2


def test_a_slow_canary_does_not_slow_the_stable(
    start: Callable[..., Any], isvc_text: Write, one: BundleRef, two: BundleRef, jpeg: bytes
) -> None:
    """Each version has its own threads: while the canary is stuck the stable answers, whatever happens there.

    What it does not answer in time is a 504, what finds its queue full a 503, and the log tells both; what a full queue
    turns away is not even hashed.
    """
    switch = Path(one.uri.rsplit("/", 1)[0] + "/slow")
    switch.touch()
    arguments = ("-m", "chexpert.testing.faults", "slow", f"--switch={switch}", "--delay-ms=1500", "--")
    served = start(isvc_text(("v1", one), ("v5", two, 10)), "--queue=2", "--timeout-s=1", program=arguments)
    served.wait_weights({"v1": 90, "v5": 10})
    codes: list[int] = []

    def ask_the_canary() -> None:
        body = {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 64, 64], "data": [0] * 4096}]}
        url = f"{served.http}/v2/models/chexpert/versions/v5/infer"
        codes.append(httpx.post(url, json=body, timeout=30.0).status_code)

    callers = [threading.Thread(target=ask_the_canary) for _ in range(4)]
    for caller in callers:
        caller.start()
    time.sleep(0.3)
    with V2Client(served.http) as client:
        latencies = [client.score_images([jpeg], version="v1")[0].latency_ms for _ in range(5)]
    for caller in callers:
        caller.join()
    assert sorted(latencies)[2] < 750
    assert sorted(codes) == [503, 503, 504, 504]
    assert served.stop() == 0
    parts = [str(part) for part in (served.objects / "log").glob("*/v5/*.parquet")]
    columns = table_to_columns(pq.read_table(parts))
    told = sorted(zip(columns["outcome"], columns["image_sha256"], strict=True))
    black = of_bytes(bytes(64 * 64))
    assert told == [("error", ""), ("error", ""), ("timeout", black), ("timeout", black)]
