"""Watching a run and reading its logs, on a scripted cluster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chexpert.cluster.errors import ClusterUnavailable, UnknownStep
from chexpert.cluster.logs import follow, reasons, show, tail
from chexpert.cluster.manifests import Source
from chexpert.cluster.runs import Step, parse
from chexpert.cluster.workflows import watch
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict

ARGO = 'time=2026-05-01T12:00:00Z level=INFO msg="waiting for signals" argo=true'
SILENT = ClusterUnavailable("https://recorded", "connection refused")


def state(phase: str, **steps: tuple[str, str]) -> dict[str, Any]:
    """A Workflow with one pod for each step: phase and exit code."""
    nodes = {
        name: {
            "id": f"run-{name}",
            "name": f"run.{name}",
            "displayName": name,
            "templateName": name,
            "type": "Pod",
            "phase": step[0],
            "startedAt": "2026-05-01T12:00:00Z",
            "outputs": {"exitCode": step[1]} if step[1] else {},
        }
        for name, step in steps.items()
    }
    return {"metadata": {"name": "run"}, "status": {"phase": phase, "nodes": nodes}}


class Scripted:
    """Gives one state after the other, the last one for ever; logs by step, an error in their midst."""

    namespace = "n"

    def __init__(self, states: Sequence[Any], logs: Mapping[str, Sequence[Any]]) -> None:
        self.states, self.logs = list(states), {name: list(tries) for name, tries in logs.items()}

    def template(self, name: str) -> Source:
        """Not asked here."""
        raise NotImplementedError(name)

    def create(self, manifest: Mapping[str, Any]) -> str:
        """Not asked here."""
        raise NotImplementedError(manifest)

    def read(self, name: str) -> Any:
        """The next state."""
        assert name == "run"
        found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(found, Exception):
            raise found
        return found

    def log(self, run: str, step: Step, *, follow: bool) -> Iterator[str]:  # noqa: ARG002 - the port's
        """The next try of a step's log."""
        tries = self.logs.get(step.name, [[]])
        for line in tries.pop(0) if len(tries) > 1 else tries[0]:
            if isinstance(line, Exception):
                raise line
            yield line


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def sink(heard: list[str]) -> Callable[[str, str], None]:
    return lambda name, line: heard.append(f"{name}: {line}")


def test_a_run_is_watched_through_a_silence() -> None:
    """An API server that restarts costs nothing but the looks in between."""
    seen: list[str] = []
    workflows = Scripted([state("Running"), SILENT, SILENT, state("Failed", gate=("Failed", "3"))], {})
    run = watch(workflows, "run", lambda one: seen.append(one.outcome), sleep=lambda _: None, clock=lambda: 0.0)
    assert seen == ["running", "refused"]
    assert run.exit_code == 3


def test_a_cluster_that_stays_silent_is_told() -> None:
    """After two minutes the silence is the answer: try again later."""
    ticks = iter(range(0, 10_000, 30))
    with pytest.raises(ClusterUnavailable):
        watch(Scripted([SILENT], {}), "run", lambda _: None, sleep=lambda _: None, clock=lambda: float(next(ticks)))


def test_logs_of_one_step_or_of_all(heard: list[str], sink: Callable[[str, str], None]) -> None:
    """A step whose pod is gone says so; an unknown one names the others."""
    done = state("Succeeded", a=("Succeeded", "0"), b=("Succeeded", "0"))
    workflows = Scripted([done], {"a": [[ARGO, "one", "two"]]})
    show(workflows, "run", "", sink)
    assert heard[:2] == ["a: one", "a: two"]
    assert "no log" in heard[2]
    with pytest.raises(UnknownStep, match="a, b"):
        show(workflows, "run", "c", sink)


def test_a_followed_log_goes_on_after_a_break(heard: list[str], sink: Callable[[str, str], None]) -> None:
    """Each line once, in its order, though the connection broke and the log was read again from its start."""
    running, done = state("Running", a=("Running", "")), state("Succeeded", a=("Succeeded", "0"))
    logs = {"a": [["1", "2", SILENT], ["1", "2", "3"], ["1", "2", "3", "4"]]}
    run = follow(Scripted([running, running, running, done], logs), "run", "", sink, sleep=lambda _: None)
    assert run.outcome == "succeeded"
    assert heard[:3] == ["a: 1", "a: 2", "a: 3"]
    assert len(heard) == len(set(heard))


def test_a_refusal_tells_its_reasons(tmp_path: Path) -> None:
    """Of the verdict where the objects can be read, else of the log."""
    refused = state("Failed", evaluate=("Failed", "3"))
    workflows = Scripted([refused], {"evaluate": [["training", "refused: AUROC 0.51 under 0.65", ARGO]]})
    run = parse(refused)
    assert reasons(workflows, run, Places()) == {"evaluate": ["AUROC 0.51 under 0.65"]}
    verdict = Verdict("evaluate", "small-cnn", passed=False, reasons=("recall on Edema",))
    (tmp_path / "verdicts" / "run").mkdir(parents=True)
    (tmp_path / "verdicts" / "run" / "evaluate.json").write_text(verdict.to_json())
    assert reasons(workflows, run, Places(objects=str(tmp_path))) == {"evaluate": ("recall on Edema",)}
    assert tail(workflows, run) == ""


def test_a_fault_shows_the_end_of_its_log() -> None:
    """The last lines, under the name of the step and its pod."""
    failed = state("Failed", train=("Failed", "1"))
    said = tail(Scripted([failed], {"train": [[str(n) for n in range(40)]]}), parse(failed))
    assert said.splitlines()[0] == "── train: run-train-train"
    assert said.splitlines()[1:] == [str(n) for n in range(25, 40)]
