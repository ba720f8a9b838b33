"""The site and the worker as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from chexpert.triage.errors import UnsafeHost
from chexpert.triage.server import require_safe
from chexpert.triage.settings import LoginSettings, SiteSettings

LOCAL = SiteSettings(objects="memory://", database="sqlite://")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_loopback_is_served(host: str) -> None:
    """Names and addresses only this machine reaches are fine."""
    require_safe(LOCAL, host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.org", ""])  # noqa: S104  what must be refused
def test_other_hosts_are_refused_without_authentication(host: str) -> None:
    """A site without authentication is not put on a network, whatever the name."""
    with pytest.raises(UnsafeHost, match="no authentication"):
        require_safe(LOCAL, host)


def test_a_site_with_users_needs_a_name_beyond_loopback() -> None:
    """With users and a public URL any address is fine; without the URL the site would refuse every browser."""
    login = LoginSettings(Path("users"), "k" * 32)
    require_safe(replace(LOCAL, login=login, public_url="https://triage.example.org"), "0.0.0.0")  # noqa: S104
    with pytest.raises(UnsafeHost, match="by which name"):
        require_safe(replace(LOCAL, login=login), "0.0.0.0")  # noqa: S104


def _start(tmp_path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "CHEXPERT_OBJECTS": str(tmp_path / "objects"),
        "CHEXPERT_DATABASE": f"sqlite:///{tmp_path / 'site.sqlite'}",
        "CHEXPERT_PRODUCTION": "",
    }
    command = [sys.executable, "-c", "from chexpert.cli.site import app; app()", *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def test_the_site_says_where_it_listens_and_ends_in_order(tmp_path: Path) -> None:
    """Pid and port are in the run file, the health route answers there, SIGTERM ends with 0 and removes the file."""
    run_file = tmp_path / "run" / "site.json"
    process = _start(tmp_path, "site", "--port=0", f"--run-file={run_file}")
    try:
        while not run_file.exists():
            assert process.poll() is None
            time.sleep(0.05)
        told = json.loads(run_file.read_text())
        assert told["pid"] == process.pid
        assert httpx.get(f"http://127.0.0.1:{told['port']}/healthz", trust_env=False).json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not run_file.exists()
    finally:
        process.kill()
        process.communicate()


def test_the_worker_ends_after_one_turn_or_at_a_signal(tmp_path: Path) -> None:
    """`--once` ends by itself; without it SIGTERM ends it with 0."""
    once = _start(tmp_path, "worker", "--once")
    assert "CHEXPERT_PRODUCTION is not set" in once.communicate(timeout=60)[1].decode()
    assert once.returncode == 0
    process = _start(tmp_path, "worker")
    assert process.stderr is not None
    assert b"CHEXPERT_PRODUCTION" in process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_the_site_refuses_a_public_address_as_a_command(tmp_path: Path) -> None:
    """The refusal holds for the command too, and no file is created."""
    process = _start(tmp_path, "site", "--host=0.0.0.0")
    assert b"no authentication" in process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert not (tmp_path / "site.sqlite").exists()
