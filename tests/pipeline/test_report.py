"""The exit handler: what became of a run is one object, with the verdict that ended it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.invocation import main
from chexpert.pipeline.runner.results import RunResult, StepStatus

# Written by Argo 4.1: workflow.failures is a JSON list inside one more JSON string.
FAILURES = (
    r'"[{\"displayName\":\"evaluate\",\"message\":\"Error (exit code 3): \\\"refused\\\"\",'
    r'\"templateName\":\"evaluate\",\"phase\":\"Failed\",\"podName\":\"r1-evaluate-1\",\"finishedAt\":\"2026-11-23T10:00:00Z\"}]"'
)

Report = Callable[..., dict[str, object]]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """Runs the step for the run r1 and gives the object that it wrote."""

    def start(status: str, failures: str) -> dict[str, object]:
        arguments = ["report", f"--parameter=status={status}", f"--parameter=failures={failures}", "--run=r1"]
        code = main([*arguments, f"--out={tmp_path / 'out'}"], {"CHEXPERT_OBJECTS": str(tmp_path)}, STEPS)
        assert code == 0
        text = (tmp_path / "runs" / "r1.json").read_text(encoding="utf-8")
        assert (tmp_path / "out" / "outcome").read_text(encoding="utf-8") == text
        outcome: dict[str, object] = json.loads(text)
        return outcome

    return start


def published(folder: Path, step: str, *, passed: bool) -> None:
    verdict = Verdict(step, "small-cnn", passed=passed, reasons=("AUROC 0.51 under 0.65",), inputs_digest="5e")
    path = folder / "verdicts" / "r1" / f"{step}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(verdict.to_json(), encoding="utf-8")


def test_a_refusal_is_told_with_its_verdict(report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed run in which a gate refused is `refused`; object and log name gate, reasons and verdict."""
    published(tmp_path, "ingest", passed=True)
    published(tmp_path, "evaluate", passed=False)
    outcome = report("Failed", FAILURES)
    assert outcome["status"] == "refused"
    assert [(row["step"], row["passed"]) for row in outcome["verdicts"]] == [("evaluate", False), ("ingest", True)]
    uri = f"{tmp_path}/verdicts/r1/evaluate.json"
    assert f"evaluate refused: AUROC 0.51 under 0.65 ({uri})" in capsys.readouterr().out


def test_failures_are_read_as_argo_writes_them(report: Report) -> None:
    """Quotes within messages survive; what did not fail is an empty list."""
    failed = {"step": "evaluate", "message": 'Error (exit code 3): "refused"', "finished": "2026-11-23T10:00:00Z"}
    assert report("Failed", FAILURES) == {"workflow": "r1", "status": "failed", "failures": [failed], "verdicts": []}
    assert report("Succeeded", '"null"')["failures"] == []


@pytest.mark.parametrize("text", ["no JSON", '"[1]"', r'"[{\"displayName\":\"a\"}]"'])
def test_failures_of_another_form_are_kept_as_text(report: Report, text: str) -> None:
    """An unknown form loses nothing and does not end the report."""
    assert report("Error", text)["failures"] == [{"step": "", "message": text, "finished": ""}]


def test_a_run_on_this_machine_reports_too(ran: Callable[..., RunResult], tmp_path: Path) -> None:
    """The runner gives an exit handler the same two variables as Argo."""
    result = ran(
        """\
        onExit: report
        templates:
          - {name: main, container: {image: x, command: [sh, -c, 'echo "a \\"word\\""; exit 1']}}
          - name: report
            outputs: {artifacts: [{name: outcome, path: /step/out/outcome, optional: true}]}
            container:
              image: x
              command: [chexpert, step, report]
              args:
                - --parameter=status={{workflow.status}}
                - --parameter=failures={{workflow.failures}}
                - --in=/step/in
                - --out=/step/out
                - --run={{workflow.name}}
              envFrom: [{configMapRef: {name: chexpert}}]
        """,
        places=Places(objects=str(tmp_path)),
    )
    assert result.step("report").status is StepStatus.SUCCEEDED, result.step("report").reasons
    outcome = json.loads((tmp_path / "runs" / "run.json").read_text(encoding="utf-8"))
    assert outcome["status"] == "failed"
    assert [(row["step"], row["message"]) for row in outcome["failures"]] == [("main", 'exit code 1: a "word"')]
