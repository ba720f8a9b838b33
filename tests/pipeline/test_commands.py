"""`chexpert pipeline`: run, graph, check, from the outside."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chexpert.cli.pipeline import app
from chexpert.domain.errors import InputError
from chexpert.pipeline.graph import levels
from chexpert.pipeline.workflow.commands import relocate
from chexpert.pipeline.workflow.reading import read

CONTINUOUS = Path(__file__).parents[2] / "argo" / "workflows" / "continuous-x.yaml"
REST = """\
arguments: {parameters: [{name: code, value: "0"}]}
templates:
  - name: main
    dag: {tasks: [{name: a, template: end}, {name: b, template: end, depends: a}]}
  - {name: end, container: {image: x, command: [sh, -c, "echo words; exit {{workflow.parameters.code}}"]}}
"""


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_says_how_the_run_ended(written: Callable[[str], Path], tmp_path: Path, code: int) -> None:
    """0 succeeded, 3 refused by a gate, 1 failed; a failed step's log is shown."""
    arguments = ["run", str(written(REST)), "--parameter", f"code={code}", "--run-folder", str(tmp_path / "r")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    status = {0: "succeeded", 1: "failed", 3: "refused"}[code]
    assert f"small: {status}" in result.output
    assert ("── a:" in result.output) is (code == 1)


def test_the_graph_shows_states_and_times(written: Callable[[str], Path], tmp_path: Path) -> None:
    """Without a run the bare DAG; with one each step's state, seconds and reasons."""
    file = str(written(REST))
    bare = CliRunner().invoke(app, ["graph", file])
    assert "○ a" in bare.output
    assert "succeeded" not in bare.output
    CliRunner().invoke(app, ["run", file, "--parameter", "code=3", "--run-folder", str(tmp_path / "r")])
    after = CliRunner().invoke(app, ["graph", file, "--run", str(tmp_path / "r")])
    assert "◆ a" in after.output
    assert "refused" in after.output
    assert "omitted" in after.output
    assert " s " in after.output


def test_a_folder_without_a_run_is_refused(written: Callable[[str], Path], tmp_path: Path) -> None:
    """A wrong folder is named instead of drawn as a run that has not begun."""
    result = CliRunner().invoke(app, ["graph", str(written(REST)), "--run", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "no run folder" in str(result.exception)


def test_levels_follow_the_dependencies() -> None:
    """The two trainings stand on one level, everything else on its own."""
    found = [[task.name for task in level] for level in levels(read(CONTINUOUS))]
    assert found[:3] == [["ingest"], ["train-cnn", "train-vit"], ["evaluate"]]
    assert found[-1] == ["propose"]


def test_check_passes_our_files_and_tells_a_bad_one(written: Callable[[str], Path]) -> None:
    """Exit 0 for files that hold, 1 and `file:line: problem` for one that does not."""
    assert CliRunner().invoke(app, ["check", str(CONTINUOUS)]).exit_code == 0
    bad = written(REST.replace("echo words", "echo {{nothing}}"))
    result = CliRunner().invoke(app, ["check", str(CONTINUOUS), str(bad)])
    assert result.exit_code == 1
    assert f"{bad}:10: template 'end' uses {{{{nothing}}}}" in result.output


def test_only_the_two_prefixes_are_replaced(tmp_path: Path) -> None:
    """/step/in and /step/out become the run folder's, as whole path parts; look-alikes stay."""
    text = "--in=/step/in /step/out/x /step/input /step/outer.txt step/in"
    assert relocate(text, tmp_path) == f"--in={tmp_path}/in {tmp_path}/out/x /step/input /step/outer.txt {text[-7:]}"
