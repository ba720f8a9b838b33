"""One call of a step: its arguments, its exit code, and what it leaves behind."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from chexpert.cli.step import app
from chexpert.domain.errors import InputError, RetryableError
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.invocation import Invocation, main
from chexpert.pipeline.step import MissingArtifact, Parameter, StepContext, StepDeclaration

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs a function as the step `try`, which has the parameters `a` and, by default 2, `b`."""

    def start(function: Callable[[StepContext], Verdict | None], *arguments: str, **environment: str) -> int:
        module = ModuleType("steps_of_this_test")
        module.run = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        options = [f"--in={tmp_path / 'in'}", f"--out={tmp_path / 'out'}", "--run=r1"]
        return main(["try", *options, *arguments], {"CHEXPERT_OBJECTS": str(tmp_path / "o"), **environment}, STEPS)

    return start


STEPS: Mapping[str, StepDeclaration] = {
    "try": StepDeclaration(
        name="try",
        function="steps_of_this_test:run",
        parameters=(Parameter("a", "first"), Parameter("b", "second", default="2")),
        inputs=("text",),
        outputs=("text", "verdict"),
    )
}


def test_a_step_gets_its_parameters_artifacts_and_places(call: Call, tmp_path: Path) -> None:
    """What stands on the command line and in the environment reaches the function; defaults fill the rest."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text").write_text("given")

    def work(context: StepContext) -> None:
        assert (context.run, context.step, context.places.objects) == ("r1", "try", str(tmp_path / "o"))
        text = f"{context.input('text').read_text()} {context.parameter('a')} {context.parameter('b')}"
        context.output("text").write_text(text)

    assert call(work, "--parameter=a=x=y") == 0
    assert (tmp_path / "out" / "text").read_text() == "given x=y 2"


def test_a_passed_verdict_is_published_twice(call: Call, tmp_path: Path) -> None:
    """A verdict lies among the outputs and under verdicts/<run>/<step>.json, byte for byte the same."""
    verdict = Verdict.judge("g", "s", [], otherwise="fine")
    assert call(lambda _: verdict, "--parameter=a=1") == 0
    written = (tmp_path / "out" / "verdict").read_text()
    assert Verdict.from_json(written) == verdict
    assert (tmp_path / "o" / "verdicts" / "r1" / "try.json").read_text() == written


def test_a_failed_verdict_ends_with_3(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal is recorded before the step ends, and its reasons are told."""
    assert call(lambda _: Verdict.judge("g", "s", ["too small"], otherwise="-"), "--parameter=a=1") == 3
    assert not Verdict.from_json((tmp_path / "out" / "verdict").read_text()).passed
    assert "refused: too small" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RetryableError("registry is silent"), 75, "try again: registry is silent\n"),
        (InputError("manifest has no rows"), 1, "error: manifest has no rows\n"),
    ],
)
def test_errors_raised_on_purpose_are_one_line(
    call: Call, capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    """What the caller must do is the exit code; no trace."""

    def work(_: StepContext) -> None:
        raise error

    assert call(work, "--parameter=a=1") == code
    assert capsys.readouterr().err == said


def test_any_other_error_shows_its_trace(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """A defect is told with where it happened."""

    def work(_: StepContext) -> None:
        raise ZeroDivisionError

    assert call(work, "--parameter=a=1") == 1
    assert "in work" in capsys.readouterr().err


def test_a_missing_artifact_is_named(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """Which artifact, and where it was looked for."""

    def work(context: StepContext) -> None:
        assert not context.has_input("text")
        context.input("text")

    assert call(work, "--parameter=a=1") == 1
    assert "step try needs the artifact text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["try"], "needs the parameter a"),
        (["try", "--parameter=a=1", "--parameter=c=1"], "has no parameter c; it has: a, b"),
        (["try", "--parameter=a"], "has no value"),
        (["try", "--parameter=a=1", "--what"], "--what"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], said: str) -> None:
    """Unknown steps, options and parameters are named before anything runs."""
    with pytest.raises(InputError) as caught:
        Invocation.parse(arguments, STEPS)
    assert said in str(caught.value)


def test_progress_is_written_as_argo_reads_it(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`done/total` goes to the file that Argo names, the text to the log; nonsense is not written."""
    file = tmp_path / "progress"

    def work(context: StepContext) -> None:
        context.progress(1, 3, "first")
        context.progress(5, 3)

    assert call(work, "--parameter=a=1", ARGO_PROGRESS_FILE=str(file)) == 0
    assert (file.read_text(), capsys.readouterr().out) == ("1/3", "[1/3] first\n")


def test_reports_lie_under_their_run(tmp_path: Path, call: Call) -> None:
    """A report's URI is where it was written."""

    def work(context: StepContext) -> None:
        uri = context.publish_report("evaluation", "<p>ok</p>")
        assert Path(uri) == tmp_path / "o" / "reports" / "r1" / "evaluation.html"

    assert call(work, "--parameter=a=1") == 0
    assert (tmp_path / "o" / "reports" / "r1" / "evaluation.html").read_text() == "<p>ok</p>"


def test_the_command_line_forwards_to_the_same_parser() -> None:
    """`chexpert step` refuses what the parser refuses, and its help lists the steps."""
    refused = CliRunner().invoke(app, ["train", "--parameter=net=x"])
    assert refused.exit_code == 1
    assert "step train has no parameter net" in refused.output
    assert "continuous" not in CliRunner().invoke(app, ["--help"]).output
    assert "load-test" in CliRunner().invoke(app, ["--help"]).output


def test_missing_artifact_says_where(tmp_path: Path) -> None:
    """The error carries step, name and path as its arguments."""
    error = MissingArtifact("train", "manifest", tmp_path / "manifest")
    assert (error.step, error.name, error.path) == ("train", "manifest", tmp_path / "manifest")


def test_a_step_ended_from_outside_is_to_be_tried_again(tmp_path: Path) -> None:
    """SIGTERM, as of a drained node or a deleted pod, is exit 75 with a word, whatever the step catches."""
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from chexpert.pipeline.invocation import main\n"
        "from chexpert.pipeline.step import StepDeclaration\n"
        "def run(context):\n"
        "    print('begun', flush=True)\n"
        "    try:\n"
        "        time.sleep(60)\n"
        "    except Exception:\n"
        "        time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    raise SystemExit(main(['slow'], {}, {'slow': StepDeclaration('slow', 'slow:run')}))\n",
        encoding="utf-8",
    )
    command = [sys.executable, "slow.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.terminate()
        assert process.wait(20) == 75
        assert process.stderr.read() == "try again: ended by SIGTERM\n"
