"""An Argo Server, as the argo-workflows client's connection reaches it: on loopback, with answers as it writes them."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chexpert.cluster.argo_server import ArgoServer, settings
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable, NothingToSubmit, UnknownRun
from chexpert.cluster.runs import parse

TEMPLATE = {"metadata": {"name": "continuous-x"}, "spec": {"entrypoint": "a"}}
NODE = {"id": "r-1", "name": "r.a", "displayName": "a", "type": "Pod", "phase": "Succeeded", "templateName": "t"}
RUN = {"metadata": {"name": "r"}, "status": {"phase": "Succeeded", "nodes": {"r-1": NODE}}}
LOG = b'{"result":{"content":"one","podName":"r-t-1"}}\n{"result":{"content":"two \xc3\xa9","podName":"r-t-1"}}\n'


@dataclass
class Server:
    """What was asked, and what is answered: status and body by method and path."""

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    recorded = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

        def answer(self) -> None:
            """The recorded answer, or 404 as Argo writes it."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {self.path}"
            recorded.asked.append((request, self.headers.get("Authorization", ""), json.loads(body) if body else None))
            known = recorded.answers.get(request) or recorded.answers.get(request.partition("?")[0])
            status, found = known or (404, {"code": 5, "message": "not found"})
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 - names that http.server calls

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        recorded.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield recorded
        running.shutdown()


def connect(server: Server, **environment: str) -> ArgoServer:
    return ArgoServer.connect({"ARGO_SERVER": server.url, **environment}, "n")


def test_the_variables_are_those_of_argo_itself() -> None:
    """host:port is TLS unless ARGO_SECURE=false; a base path is kept; a token may carry its word."""
    assert settings({"ARGO_SERVER": "argo:2746"}).host == "https://argo:2746"
    assert settings({"ARGO_SERVER": "argo:2746", "ARGO_SECURE": "false"}).host == "http://argo:2746"
    found = settings({"ARGO_SERVER": "https://x", "ARGO_BASE_HREF": "/argo/", "ARGO_INSECURE_SKIP_VERIFY": "true"})
    assert (found.host, found.verify_ssl) == ("https://x/argo", False)
    for token in ("abc", "Bearer abc"):
        auth = settings({"ARGO_SERVER": "x", "ARGO_TOKEN": token}).auth_settings()
        assert auth["BearerToken"]["value"] == "Bearer abc"


def test_a_template_is_found_and_a_run_made(server: Server) -> None:
    """With the token, and the manifest as it is: the server lints it."""
    server.answers["GET /api/v1/workflow-templates/n/continuous-x"] = (200, TEMPLATE)
    server.answers["POST /api/v1/workflows/n"] = (200, {"metadata": {"name": "continuous-x-1"}})
    workflows = connect(server, ARGO_TOKEN="abc")  # noqa: S106 - of a server that lives for this test
    assert workflows.template("continuous-x").kind == "WorkflowTemplate"
    assert workflows.create({"kind": "Workflow"}) == "continuous-x-1"
    assert server.asked[-1] == ("POST /api/v1/workflows/n", "Bearer abc", {"workflow": {"kind": "Workflow"}})


def test_an_unknown_template_names_those_there_are(server: Server) -> None:
    """Templates and cron workflows are both looked through; an empty list has no items at all."""
    server.answers["GET /api/v1/workflow-templates/n"] = (200, {"metadata": {}, "items": [TEMPLATE]})
    server.answers["GET /api/v1/cron-workflows/n"] = (200, {"metadata": {}, "items": None})
    with pytest.raises(NothingToSubmit, match="it has: continuous-x"):
        connect(server).template("continuos")


def test_a_runs_log_is_read_line_by_line(server: Server) -> None:
    """Of the step's pod and its main container."""
    server.answers["GET /api/v1/workflows/n/r"] = (200, RUN)
    server.answers["GET /api/v1/workflows/n/r/log"] = (200, LOG)
    workflows = connect(server)
    (step,) = parse(workflows.read("r")).steps
    assert list(workflows.log("r", step, follow=True)) == ["one", "two é"]
    assert "podName=r-t-1&logOptions.container=main&logOptions.follow=true" in server.asked[-1][0]


def test_an_answer_says_what_to_do(server: Server) -> None:
    """No such run, a refusal, and a server that is down are three errors."""
    with pytest.raises(UnknownRun):
        connect(server).read("gone")
    server.answers["GET /api/v1/workflows/n/r"] = (403, {"code": 7, "message": "permission denied"})
    with pytest.raises(ClusterRefused, match="permission denied"):
        connect(server).read("r")
    server.answers["GET /api/v1/workflows/n/r"] = (503, b"upstream")
    with pytest.raises(ClusterUnavailable, match="503: upstream"):
        connect(server).read("r")
    with pytest.raises(ClusterUnavailable):
        ArgoServer.connect({"ARGO_SERVER": "http://127.0.0.1:9"}, "n").read("r")
