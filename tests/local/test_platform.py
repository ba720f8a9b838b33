import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from chexpert.local import platform as platforms
from chexpert.local.home import Home
from chexpert.local.platform import AlreadyRunning, Platform, PlatformSettings
from chexpert.local.processes import Process, ProcessDidNotStart

KSERVE = Path(__file__).parents[2] / "kserve"
NAMES = {"site", "worker", "staging", "production"}


@pytest.fixture(autouse=True)
def _no_preferred_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test takes no port that a platform on this machine would like to have."""
    monkeypatch.setattr(platforms, "PORTS", dict.fromkeys(platforms.PORTS, 0))


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def children(platform: Platform) -> dict[str, Process]:
    return {process.name: process for process in platform._processes}


def pid_of(process: Process) -> int:
    assert process._child is not None
    return process._child.pid


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.timeout(120)  # four programs import what they need: some 10 s of one core
def test_an_empty_platform_starts_answers_mends_itself_and_ends(tmp_path: Path) -> None:
    """From nothing all four programs run without a model; a killed one comes back; at the end none is left."""
    home = Home(tmp_path / "home")
    with Platform(home, PlatformSettings(kserve=KSERVE)) as platform:
        running = children(platform)
        assert running.keys() == NAMES
        assert all(process.alive for process in running.values())
        places = platform.places
        assert httpx.get(f"{places.site}/api/worklist").json() == {"total": 0, "entries": []}
        for url in (places.staging, places.production):
            assert httpx.get(f"{url}/v2/health/live").status_code == httpx.codes.OK
            # Not ready: no promotion named a model yet.
            assert httpx.get(f"{url}/v2/health/ready").status_code != httpx.codes.OK
        told = json.loads((home.run / "platform.json").read_text())
        assert told["pid"] == os.getpid()
        assert places.site == f"http://127.0.0.1:{told['site']}"
        assert home.manifest("production").exists()
        assert refused_to_another_process(home) == os.getpid()
        killed = pid_of(running["worker"])
        os.kill(killed, signal.SIGKILL)
        until(lambda: running["worker"].alive and pid_of(running["worker"]) != killed, 5)
        pids = [pid_of(process) for process in running.values()]
    assert all(gone(pid) for pid in pids)
    codes = {name: process._child.returncode for name, process in running.items() if process._child is not None}
    assert {name: codes[name] for name in NAMES - {"worker"}} == dict.fromkeys(NAMES - {"worker"}, 0)
    assert not (home.run / "platform.json").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(places.site)
    assert {path.stem for path in home.logs.glob("*.log")} == NAMES


def refused_to_another_process(home: Home) -> int:
    """Try to start a second platform in the same home: the process that is said to hold it."""
    text = f"""
from pathlib import Path
from chexpert.local.home import Home
from chexpert.local.platform import AlreadyRunning, Platform, PlatformSettings
try:
    Platform(Home(Path({str(home.path)!r})), PlatformSettings(kserve=Path({str(KSERVE)!r}))).__enter__()
except AlreadyRunning as error:
    print(error.pid)
"""
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True, timeout=60)
    return int(done.stdout)


def claim(home: Home, pid: int, birth: str, **children: tuple[int, str]) -> None:
    """What a supervisor leaves in its run file."""
    home.create()
    (home.run / "platform.json").write_text(json.dumps({"pid": pid, "birth": birth, "children": children}))


def platform_that_fails(home: Home) -> Platform:
    broken = [sys.executable, "-c", "raise SystemExit('no such model server')", "--"]
    return Platform(home, PlatformSettings(kserve=KSERVE, serve={"production": broken}))


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that runs."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as running:
        yield running
        running.kill()


def test_a_home_held_by_a_living_process_is_refused(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    """Two supervisors would write one database and one worktree; the refusal names the process and what to do."""
    home = Home(tmp_path)
    claim(home, other.pid, platforms._birth(other.pid))
    before = (home.run / "platform.json").read_text()
    with pytest.raises(AlreadyRunning, match=rf"process {other.pid}\): end it, or choose another --home") as caught:
        platform_that_fails(home).__enter__()
    assert caught.value.pid == other.pid
    assert (home.run / "platform.json").read_text() == before
    assert not home.gitops.exists()


def test_what_a_killed_supervisor_left_is_ended_and_nobody_else(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    """A child of a dead supervisor is ended; one whose number was given anew to somebody else is left alone."""
    home = Home(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as orphan:
        claim(home, 2**22 + 1, "7", site=(orphan.pid, platforms._birth(orphan.pid)), worker=(other.pid, "7"))
        with pytest.raises(ProcessDidNotStart):
            platform_that_fails(home).__enter__()
        assert orphan.wait(5) == -signal.SIGTERM
    assert other.poll() is None


def test_a_number_given_anew_holds_no_home(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    """After a restart of the machine another program may have the old supervisor's number: that is no claim."""
    home = Home(tmp_path)
    claim(home, other.pid, "7")
    with pytest.raises(ProcessDidNotStart):
        platform_that_fails(home).__enter__()
    assert other.poll() is None


def test_a_platform_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """One program that ends at once takes the others down with it and gives the home free."""
    home = Home(tmp_path)
    platform = platform_that_fails(home)
    with pytest.raises(ProcessDidNotStart, match="no such model server") as caught:
        platform.__enter__()
    assert caught.value.name == "production"
    assert children(platform).keys() == NAMES
    assert not any(process.alive for process in platform._processes)
    assert not (home.run / "platform.json").exists()
