"""Steps are forked from one process that has imported the slow modules already."""

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chexpert.domain.places import Places
from chexpert.pipeline.runner.preloaded import Preloaded, ServerGone
from chexpert.pipeline.runner.results import RunStatus
from chexpert.pipeline.runner.running import run
from chexpert.pipeline.workflow.model import Workflow

SLOW = """\
import os, time
time.sleep(1.0)
PID = os.getpid()
"""
STEPS = """\
from chexpert.pipeline.step import StepDeclaration

STEPS = {
    "fast": StepDeclaration(name="fast", function="fast_step:run"),
    "heavy": StepDeclaration(name="heavy", function="heavy_step:run", imports=("slow_module", "not_there")),
}
"""
FAST = """\
import sys

def run(context):
    print("slow" if "slow_module" in sys.modules else "nothing")
"""
HEAVY = """\
import os

def run(context):
    import slow_module
    print(slow_module.PID, os.getpid())
"""


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Preloaded]:
    """A process that preloads the step `heavy`, of a catalogue of this test's own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, text in {"slow_module": SLOW, "own_steps": STEPS, "fast_step": FAST, "heavy_step": HEAVY}.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with Preloaded(["heavy"], catalogue="own_steps:STEPS") as preloaded:
        yield preloaded


def two(step: str) -> str:
    container = (
        f"container: {{image: x, command: [chexpert, step, {step}], args: ['--in=/step/in', '--out=/step/out']}}"
    )
    return (
        "templates:\n  - {name: main, dag: {tasks: [{name: a, template: s}, {name: b, template: s}]}}\n"
        f"  - {{name: s, {container}}}\n"
    )


def test_forked_steps_share_what_was_imported_once(
    tmp_path: Path, heavy: Preloaded, workflow: Callable[[str], Workflow]
) -> None:
    """Both steps see the module imported by their common parent, in processes of their own; a second run too."""
    for name in ("one", "two"):
        result = run(workflow(two("heavy")), {}, Places(), tmp_path / name, preloaded=heavy)
        assert result.status is RunStatus.SUCCEEDED, [step.log.read_text() for step in result.steps]
        seen = [step.log.read_text().split() for step in result.steps]
        assert seen[0][0] == seen[1][0]
        assert len({seen[0][0], seen[0][1], seen[1][1], str(os.getpid())}) == 4
    assert heavy.imported["slow_module"] >= 1.0
    assert "not_there" not in heavy.imported


def test_a_step_waits_for_its_own_imports_only(
    tmp_path: Path, heavy: Preloaded, workflow: Callable[[str], Workflow]
) -> None:
    """A step that declares no slow module is forked while another's are still to come."""
    result = run(workflow(two("fast")), {}, Places(), tmp_path / "run", preloaded=heavy)
    assert result.status is RunStatus.SUCCEEDED
    assert result.step("a").log.read_text() in {"nothing\n", "slow\n"}
    assert result.step("a").exit_code == 0


def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    """A catalogue that can't be imported ends the server; who waits hears why."""
    with Preloaded(catalogue="no_such_module:STEPS") as preloaded:
        try:
            child = preloaded.submit(["true"], environment={}, log=tmp_path / "log", folder=tmp_path)
        except ServerGone as gone:
            error: BaseException | None = gone
        else:
            error = child.ended.exception(timeout=20)
    assert isinstance(error, ServerGone)
    assert "no_such_module" in str(error)


def test_a_program_that_is_not_there_fails_its_step(tmp_path: Path, bare: Preloaded) -> None:
    """Its log names it."""
    log = tmp_path / "log"
    child = bare.submit(["no-such-program"], environment={"PATH": os.defpath}, log=log, folder=tmp_path)
    assert child.ended.result(timeout=20) == 127
    assert "no-such-program cannot be started" in log.read_text()


def test_closing_ends_what_still_runs(tmp_path: Path) -> None:
    """After close nothing is left running, and who waits hears of it."""
    preloaded = Preloaded().start()
    child = preloaded.submit(["sleep", "60"], environment={"PATH": os.defpath}, log=tmp_path / "l", folder=tmp_path)
    preloaded.close()
    assert isinstance(child.ended.exception(timeout=1), ServerGone)


def test_closing_in_the_middle_of_an_import_ends_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that can't listen is killed, and the commands it forked with it."""
    (tmp_path / "short.py").write_text("import time\ntime.sleep(1)\n")
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(60)\n")
    (tmp_path / "stuck_steps.py").write_text(
        "from chexpert.pipeline.step import StepDeclaration\n"
        'STEPS = {"stuck": StepDeclaration("stuck", "endless:run", imports=("short", "endless"))}\n'
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    preloaded = Preloaded(["stuck"], catalogue="stuck_steps:STEPS").start()
    command = ["sh", "-c", "echo $$; exec sleep 60"]
    log = tmp_path / "log"
    child = preloaded.submit(command, environment={"PATH": os.defpath}, log=log, folder=tmp_path)
    end = time.monotonic() + 20
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    preloaded.close()
    assert isinstance(child.ended.exception(timeout=1), ServerGone)
    stat = Path(f"/proc/{int(log.read_text())}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)


POOL = """\
import atexit, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

def run(context):
    atexit.register(print, "handler of the step", flush=True)
    ThreadPoolExecutor(1).submit(print, "thread", flush=True)
    pool = ProcessPoolExecutor(1)
    print("pool", pool.submit(abs, -3).result())
    if context.parameter("end") == "exit":
        sys.exit(5)
"""
POOL_STEPS = """\
from chexpert.pipeline.step import Parameter, StepDeclaration

STEPS = {"pool": StepDeclaration("pool", "pool_step:run", parameters=(Parameter("end", "how"),))}
"""


@pytest.mark.parametrize("end", ["return", "exit"])
def test_a_fork_ends_in_order_and_never_as_a_second_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """A step's own threads, workers and exit handlers end before it; those of its parent do not run in it."""
    for name, text in {"pool_step": POOL, "pool_steps": POOL_STEPS}.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    log = tmp_path / "log"
    with Preloaded(catalogue="pool_steps:STEPS") as preloaded:
        command = ["chexpert", "step", "pool", f"--parameter=end={end}"]
        child = preloaded.submit(command, environment=dict(os.environ), log=log, folder=tmp_path)
        code = child.ended.result(timeout=30)
        again = preloaded.submit(["true"], environment={"PATH": os.defpath}, log=log, folder=tmp_path)
        assert again.ended.result(timeout=30) == 0
    assert sorted(log.read_text().splitlines()[:3]) == ["handler of the step", "pool 3", "thread"], log.read_text()
    assert code == {"return": 0, "exit": 5}[end]
