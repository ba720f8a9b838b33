"""A run goes on where it was killed, and does again exactly what has changed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.pipeline.runner.folder import RunInUse, fresh, locked
from chexpert.pipeline.runner.results import RunResult, RunStatus

Ran = Callable[..., RunResult]

REST = """\
arguments: {parameters: [{name: one, value: "1"}, {name: two, value: "2"}, {name: nap, value: "0"}]}
templates:
  - name: main
    dag:
      tasks:
        - name: a
          template: note
          arguments: {parameters: [{name: text, value: "{{workflow.parameters.one}}"}]}
        - name: b
          template: pass
          depends: a
          arguments:
            parameters: [{name: text, value: "{{workflow.parameters.two}}"}]
            artifacts: [{name: note, from: "{{tasks.a.outputs.artifacts.note}}"}]
        - name: c
          template: pass
          depends: b
          arguments:
            parameters: [{name: text, value: "3"}]
            artifacts: [{name: note, from: "{{tasks.b.outputs.artifacts.note}}"}]
  - name: note
    inputs: {parameters: [{name: text}]}
    outputs: {artifacts: [{name: note, path: /step/out/note}]}
    container: {image: x, command: [sh, -c, 'echo {{inputs.parameters.text}} > /step/out/note']}
  - name: pass
    inputs: {parameters: [{name: text}], artifacts: [{name: note, path: /step/in/note}]}
    outputs: {artifacts: [{name: note, path: /step/out/note}]}
    container:
      image: x
      command: [sh, -c, 'sleep 0; echo passed > /step/out/note', '{{inputs.parameters.text}}']
"""


def reused(result: RunResult) -> list[bool]:
    """Of each step, whether an earlier run's outputs were taken."""
    return [step.reused for step in result.steps]


def test_nothing_is_done_twice_while_nothing_changes(ran: Ran) -> None:
    """A second run in the same folder takes every step over."""
    assert reused(ran(REST)) == [False, False, False]
    assert reused(ran(REST)) == [True, True, True]


def test_what_a_parameter_changes_is_done_again_and_no_more(ran: Ran) -> None:
    """A changed parameter reruns its step; what follows reruns only if the artifact it takes has changed."""
    ran(REST)
    assert reused(ran(REST, parameters={"one": "9"})) == [False, False, True]
    assert reused(ran(REST, parameters={"one": "9", "two": "9"})) == [True, False, True]


def test_a_changed_template_is_run_again(ran: Ran) -> None:
    """The command is part of the digest."""
    ran(REST)
    assert reused(ran(REST.replace("sleep 0;", "sleep 0.0;"))) == [True, False, False]


def test_an_output_that_was_touched_is_made_again(ran: Ran) -> None:
    """Outputs are held against their recorded digests before they are trusted."""
    result = ran(REST)
    (result.folder / "b" / "out" / "note").write_text("tampered")
    assert reused(ran(REST)) == [True, False, True]


def test_another_version_of_the_package_does_everything_again(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package version is part of the digest."""
    ran(REST)
    monkeypatch.setattr("chexpert.pipeline.runner.stepping.version", lambda _: "9.9.9")
    assert reused(ran(REST)) == [False, False, False]


def test_a_failed_step_is_tried_again(ran: Ran) -> None:
    """Only a success is taken over."""
    broken = ran(REST, commands={"pass": ["false"]})
    assert broken.status is RunStatus.FAILED
    assert reused(ran(REST)) == [True, False, False]


def test_a_broken_state_file_is_no_success(ran: Ran) -> None:
    """A state that can't be read counts as none."""
    result = ran(REST)
    (result.folder / "a" / "state.json").write_text('{"status": "succeeded"')
    assert reused(ran(REST)) == [False, True, True]


def test_a_killed_run_leaves_no_process_and_goes_on(ran: Ran, tmp_path: Path, written: Callable[[str], Path]) -> None:
    """After SIGKILL of the runner its steps end too, and the next run takes over what had succeeded."""
    rest = REST.replace("sleep 0;", "echo $$ > /step/out/pid; sleep 60;")
    command = "from chexpert.cli.pipeline import app; app()"
    arguments = ["run", str(written(rest)), "--run-folder", str(tmp_path / "run"), "--no-preload"]
    process = subprocess.Popen([sys.executable, "-c", command, *arguments], stdout=subprocess.DEVNULL)
    pid_file = tmp_path / "run" / "b" / "out" / "pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
    pid = int(pid_file.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not alive(pid))
    state = json.loads((tmp_path / "run" / "b" / "state.json").read_text())
    assert state["status"] == "running"
    result = ran(rest, commands={"pass": ["sh", "-c", "echo done > /step/out/note"]})
    assert result.status is RunStatus.SUCCEEDED
    assert reused(result) == [True, False, False]


def test_a_folder_holds_one_run_at_a_time(tmp_path: Path, ran: Ran) -> None:
    """A second run in a folder at work is refused, and not once the first has gone."""
    with locked(tmp_path / "run"), pytest.raises(RunInUse, match="another run works in"):
        ran(REST)
    assert ran(REST).status is RunStatus.SUCCEEDED


def test_new_folders_never_meet(tmp_path: Path) -> None:
    """Each new run gets a folder of its own, numbered."""
    assert [fresh(tmp_path, "x").name for _ in range(3)] == ["x-0001", "x-0002", "x-0003"]


def wait_for(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie whose parent is gone is reaped by init, which a container may lack.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
