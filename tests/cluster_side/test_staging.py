"""The step `stage` behind a gateway, which says 404 and 500 while the old version goes and the new one comes."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chexpert.domain.places import Places
from chexpert.pipeline.steps import stage
from chexpert.pipeline.steps.stage import StageSettings, StagingDidNotServe

QUICK = StageSettings(wait_s=20.0, settle_s=0.1, poll_s=0.01)


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[int | str]]]:
    """A URL, and what it answers one after the other: a status, or the version that serves; the last for ever."""
    answers: list[int | str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

        def do_GET(self) -> None:
            """The next answer; readiness takes none."""
            ready = self.path.endswith("/ready")
            answer = answers[0] if ready or len(answers) == 1 else answers.pop(0)
            status = answer if isinstance(answer, int) else 200
            content = json.dumps({"name": "chexpert", "versions": [answer]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", answers
        server.shutdown()


def test_a_gateway_between_two_versions_is_waited_for(gateway: tuple[str, list[int | str]]) -> None:
    """No route yet, a route to nothing, the old version, a break, then the new one without a break."""
    url, answers = gateway
    answers += [404, 500, 503, "v1", "v2", 500, "v2"]
    assert stage._wait(url, "v2", QUICK) == "v2"
    assert answers == ["v2"]


def test_the_wait_ends_with_what_was_seen_last(gateway: tuple[str, list[int | str]]) -> None:
    """The next try of the step finds it merged, and only waits."""
    url, answers = gateway
    answers.append(404)
    with pytest.raises(StagingDidNotServe, match=r"does not serve v2 0\.2 s after the merge: .*404"):
        stage._wait(url, "v2", StageSettings(wait_s=0.2, poll_s=0.05))


def test_a_cluster_gets_the_time_that_argo_cd_takes() -> None:
    """Its default poll of two to three minutes and a pod's start fit; one machine is told sooner."""
    assert StageSettings.of(Places()).wait_s == 120.0
    assert StageSettings.of(Places(inference_service="chexpert-{environment}/chexpert")).wait_s >= 360.0
