"""A git host over HTTP, as in a cluster: git's own `http-backend` on loopback, with and without a password."""

import base64
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chexpert.domain.places import Places
from chexpert.gitops.body import BodyParts
from chexpert.gitops.errors import GitDenied
from chexpert.gitops.promotion_request import connect, open_promotion
from chexpert.gitops.repository import Repository
from chexpert.testing.rollouts import RolloutSite


class Backend(http.server.BaseHTTPRequestHandler):
    """Hands each request to `git http-backend`."""

    folder: Path
    password = ""
    """Empty: everyone may push."""

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""

    def answer(self) -> None:
        """Refuse, or run the CGI program."""
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else self._chunks()
        given = self.headers.get("Authorization", "")
        wanted = "Basic " + base64.b64encode(f"robot:{self.password}".encode()).decode()
        if self.password and given != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_USER": "robot",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815 - names that http.server calls

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


@dataclass(frozen=True)
class Host:
    """A running git host with one repository."""

    places: Places
    site: RolloutSite
    backend: type[Backend]

    def propose(self) -> str:
        """Open the pull request of v1; its branch."""
        bundle = self.site.bundle
        return open_promotion("production", "v1", bundle.uri, bundle.digest, BodyParts(), self.places).branch


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    if subprocess.run(["git", "http-backend"], check=False, capture_output=True).returncode == 1 or not shutil.which(
        "git"
    ):
        pytest.skip("this git comes without its http-backend")
    for name in ("GIT_USERNAME", "GIT_PASSWORD", "CHEXPERT_GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    site = RolloutSite.create(tmp_path)
    backend = type("OneBackend", (Backend,), {"folder": tmp_path})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), backend) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/gitops.git"
        yield Host(Places(gitops=url), site, backend)
        server.shutdown()


def test_an_open_host_takes_promotions(host: Host) -> None:
    """Clone, branch, push, merge: all over HTTP, without a credential."""
    assert host.propose() == "promote/production/v1"
    with connect(host.places, host.site.settings.gitops) as (_, requests):
        requests.merge(requests.get("promote/production/v1"))
    assert host.site.served().weights == {"v1": 100}


def test_a_password_comes_from_the_environment_alone(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is in no argument, no URL and no file of the clone, and the push goes through."""
    host.backend.password = "s3cr3t%s"  # noqa: S105 - of a server that lives for this test
    monkeypatch.setenv("GIT_USERNAME", "robot")
    monkeypatch.setenv("GIT_PASSWORD", "s3cr3t%s")
    started: list[str] = []
    real = subprocess.run

    def note(command: list[str], **options: Any) -> Any:
        started.append(" ".join(command))
        return real(command, **options)

    monkeypatch.setattr("chexpert.gitops.git.subprocess.run", note)
    assert host.propose() == "promote/production/v1"
    Repository.open(host.places.gitops, tmp_path / "clone")
    assert any("push" in command for command in started)
    assert not any("s3cr3t" in command for command in started)
    written = [path for path in (tmp_path / "clone" / ".git").rglob("*") if path.is_file()]
    assert not any(b"s3cr3t" in path.read_bytes() for path in written)


@pytest.mark.parametrize("given", ["", "wrong"])
def test_a_refused_password_is_an_error_of_the_settings(
    host: Host, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Trying again does not help, and the message says which variables to set, never what they hold."""
    host.backend.password = "right"  # noqa: S105 - of a server that lives for this test
    if given:
        monkeypatch.setenv("GIT_USERNAME", "robot")
        monkeypatch.setenv("GIT_PASSWORD", given)
    with pytest.raises(GitDenied, match="GIT_USERNAME and GIT_PASSWORD") as caught:
        host.propose()
    assert "wrong" not in str(caught.value)
