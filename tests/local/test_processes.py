import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from chexpert.local.home import free_port
from chexpert.local.processes import Process, ProcessDidNotStart

SERVER = """
    import sys
    from http.server import HTTPServer, SimpleHTTPRequestHandler
    HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""
BROKEN_SERVER = """
    import http.server, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(503)
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SLEEPER = "import time; print('up'); time.sleep(60)"
DRAINS = """
    import signal, sys, time
    def drain(*_):
        time.sleep(0.3)
        print("drained")
        sys.exit(0)
    signal.signal(signal.SIGTERM, drain)
    print("up")
    time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"

Make = Callable[..., Process]


def until(condition: Callable[[], bool], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def start_and_hear(child: Process, log: Path) -> int:
    """Start, wait for its first line, give its process id."""
    child.start()
    until(lambda: "up" in log.read_text())
    assert child._child is not None
    return child._child.pid


def test_a_server_is_waited_for_until_it_answers(process: Make) -> None:
    """When the wait returns, the server answers."""
    port = free_port(0)
    server = process(SERVER, str(port))
    assert not server.alive
    server.start()
    url = f"http://127.0.0.1:{port}/"
    server.wait_answering(url, timeout_s=10)
    assert httpx.get(url).status_code == httpx.codes.OK


def test_a_child_that_ends_is_told_with_its_log(process: Make, tmp_path: Path) -> None:
    """The error names the child, its exit code and log, and shows the log's end, not its beginning."""
    lines = "import sys; print(*(f'line {n}.' for n in range(40)), 'no such table', sep=chr(10)); sys.exit(7)"
    child = process(lines, name="site")
    child.start()
    with pytest.raises(ProcessDidNotStart, match="site did not start: it ended with 7") as caught:
        child.wait_answering("http://127.0.0.1:9/", timeout_s=10)
    assert caught.value.name == "site"
    assert caught.value.log == tmp_path / "site.log"
    assert "no such table" in str(caught.value)
    assert "line 39." in str(caught.value)
    assert "line 2." not in str(caught.value)


@pytest.mark.parametrize("text", [SLEEPER, BROKEN_SERVER], ids=["silent", "answers 503"])
def test_a_child_that_does_not_serve_in_time_is_told(process: Make, text: str) -> None:
    """Neither silence nor a server's fault counts as an answer."""
    port = free_port(0)
    child = process(text, str(port))
    child.start()
    with pytest.raises(ProcessDidNotStart, match=rf"http://127\.0\.0\.1:{port}/ did not answer in 0\.6 s"):
        child.wait_answering(f"http://127.0.0.1:{port}/", timeout_s=0.6)


def test_a_child_gets_its_environment_on_top_of_ours(process: Make, tmp_path: Path) -> None:
    """PATH comes from us, addresses from the platform."""
    text = "import os; print('up', os.environ['CHEXPERT_SITE'], bool(os.environ['PATH']))"
    child = process(text, environment={"CHEXPERT_SITE": "http://here"})
    child.start()
    until(lambda: "up http://here True" in (tmp_path / "child.log").read_text())


def test_a_killed_child_is_revived_and_a_living_one_left_alone(process: Make, tmp_path: Path) -> None:
    """After a kill the same command runs again as another process, its log going on."""
    log = tmp_path / "child.log"
    child = process(SLEEPER)
    first = start_and_hear(child, log)
    assert not child.revive()
    os.kill(first, signal.SIGKILL)
    until(lambda: not child.alive)
    assert child.revive()
    until(lambda: log.read_text().count("up") == 2)
    assert child.alive
    assert child.restarts == 1
    assert child._child is not None
    assert child._child.pid != first


def test_a_child_that_keeps_dying_stays_down(process: Make) -> None:
    """A fault that a restart does not mend is not restarted for ever."""
    child = process("raise SystemExit(1)")
    child.restarts_max = 2
    child.start()
    for expected in (True, True, False):
        until(lambda: not child.alive)
        assert child.revive() is expected
    assert child.restarts == 2


def test_a_stopped_child_has_drained(process: Make, tmp_path: Path) -> None:
    """SIGTERM lets a child finish its work: stop returns after it, and the child was not killed."""
    log = tmp_path / "child.log"
    child = process(DRAINS)
    start_and_hear(child, log)
    child.stop()
    assert "drained" in log.read_text()
    assert child._child is not None
    assert child._child.returncode == 0


def test_a_child_that_does_not_drain_is_killed_after_its_grace(process: Make, tmp_path: Path) -> None:
    """The grace is given in full and then ends."""
    child = process(STUBBORN)
    start_and_hear(child, tmp_path / "child.log")
    began = time.monotonic()
    child.stop(grace_s=0.4)
    assert time.monotonic() - began >= 0.4
    assert not child.alive
    assert child._child is not None
    assert child._child.returncode == -signal.SIGKILL


def test_stopping_what_never_ran_or_ended_is_nothing(process: Make) -> None:
    """A platform that failed half way stops all its children alike."""
    child = process("pass")
    child.stop()
    child.start()
    until(lambda: not child.alive)
    child.stop()
    child.stop()


def test_a_child_is_out_of_reach_of_the_terminals_interrupt(process: Make, tmp_path: Path) -> None:
    """Ctrl-C goes to the terminal's process group, in which no child is: the supervisor ends them in order."""
    pid = start_and_hear(process(SLEEPER), tmp_path / "child.log")
    assert os.getpgid(pid) == pid
    assert os.getpgid(pid) != os.getpgid(0)


def signalled(text: str, number: int) -> tuple[int, str]:
    """Exit code and output of a program that gets a signal once it says so."""
    command = [sys.executable, "-u", "-c", textwrap.dedent(text)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(number)
        output, _ = child.communicate(timeout=20)
        return child.returncode, output


def test_sigterm_unwinds_the_supervisor() -> None:
    """At SIGTERM blocks are left in order, and the exit code tells the signal."""
    text = """
        import time
        from chexpert.local.processes import end_in_order
        end_in_order()
        try:
            print("up")
            time.sleep(60)
        finally:
            print("children ended")
    """
    assert signalled(text, signal.SIGTERM) == (128 + signal.SIGTERM, "children ended\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_waiting_ends_at_either_signal(number: int) -> None:
    """Ctrl-C and SIGTERM both let the program go on to its end."""
    text = """
        import signal, threading
        from chexpert.local.processes import wait_for_signal
        waits = threading.Event.wait
        def said(self, timeout=None):
            print("up")
            return waits(self, timeout)
        threading.Event.wait = said
        wait_for_signal()
        print("over")
    """
    assert signalled(text, number) == (0, "over\n")
