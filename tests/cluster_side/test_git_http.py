"""A git host over HTTP, as in a cluster: git's own `http-backend` on loopback, with and without a password."""

import http.server
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
from cluster_harness.git_http import Handler


class Backend(Handler):
    """Quiet."""

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


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
    backend = type("OneBackend", (Backend,), {"folder": str(tmp_path)})
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
