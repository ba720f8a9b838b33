"""Pieces of the story that need no state: data, planted programs, and what a pipeline run showed."""

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from chexpert.data.phantom_folder import PhantomSettings, generate
from chexpert.domain.places import Places
from chexpert.local.demo.display import Display
from chexpert.local.demo.plan import Plan
from chexpert.local.demo.record import Record
from chexpert.local.home import Home
from chexpert.pipeline.runner.results import RunResult, RunStatus
from chexpert.testing.wrong_labels import permute_labels

__all__ = ["candidate_data", "draw_data", "report_run", "serve_command"]


def draw_data(plan: Plan, display: Display) -> int:
    """Draw the phantoms unless an earlier run did; images drawn or found."""
    sizes = plan.sizes
    settings = PhantomSettings(sizes.train_patients, sizes.valid_patients, noise=sizes.label_noise)
    with display.bar("phantoms", total=sizes.train_patients + sizes.valid_patients) as bar:
        generate(plan.data, settings, progress=lambda done, _: bar(done))
    return sum(1 for path in plan.data.rglob("view*") if path.is_file())


def candidate_data(plan: Plan, home: Home) -> Path:
    """The second training's data: the first's, or the planted copy with permuted labels."""
    if plan.fault is None or plan.fault.name != "wrong-labels":
        return plan.data
    target = home.path / "wrong-labels"
    permute_labels(plan.data, target)
    return target


def serve_command(plan: Plan, home: Home) -> Mapping[str, list[str]]:
    """Command in place of `chexpert serve` for production, where the fault is one of serving."""
    switch = home.run / "fault"
    switch.unlink(missing_ok=True)
    if plan.fault is None or plan.fault.name not in {"slow", "errors"}:
        return {}
    fault = ["chexpert.testing.faults", plan.fault.name, f"--switch={switch}", "--delay-ms=800"]
    command = [sys.executable, "-m", *fault, "--"]
    return {"production": command}


def report_run(result: RunResult, places: Places, record: Record, display: Display) -> str:
    """Lines of one pipeline run; where it ended, empty if it went through."""
    part = "First model" if result.run.startswith("first") else "Candidate"
    reports = Path(places.objects) / "reports" / result.run
    outputs = {step.name: step.folder / "out" for step in result.steps}
    for name, file in (
        ("ingest", "increment"),
        ("evaluate", "evaluation"),
        ("optimise", "bundle"),
        ("register", "version"),
    ):
        path = outputs[name] / file
        if path.exists():
            _say(part, file, json.loads(path.read_text()), record, reports)
    _time_training(result, record)
    load_report = reports / "load-test.html"
    if load_report.exists():
        verdict = json.loads((outputs["load-test"] / "verdict").read_text())
        record.say(part, "load test in staging", "; ".join(verdict["reasons"]), str(load_report))
    request = outputs["propose"] / "pull-request"
    if request.exists():
        record.say(part, "pull request", json.loads(request.read_text())["title"])
    if result.status is RunStatus.SUCCEEDED:
        return ""
    for step in result.culprits:
        record.say(part, f"{step.name} {step.status.value}", "; ".join(step.reasons))
        display.say(f"{step.name} {step.status.value}: {'; '.join(step.reasons)}")
    return f"{result.culprits[0].status.value} at {result.culprits[0].name}"


def _time_training(result: RunResult, record: Record) -> None:
    """From the first start to the last end: the two networks train side by side."""
    trainings = [step for step in result.steps if step.name.startswith("train")]
    starts = [step.started for step in trainings if step.started]
    ends = [step.ended for step in trainings if step.ended]
    if starts and ends:
        record.took("training, CNN and ViT, both times", (max(ends) - min(starts)).total_seconds(), budget_s=40.0)


def _say(part: str, what: str, facts: dict[str, object], record: Record, reports: Path) -> None:
    if what == "increment" and part == "Candidate":
        record.say(
            part, "new labels from readers", f"{facts['new_labels']} on {facts['rows']} images: {facts['counts']}"
        )
        _say_refused(part, facts["refused"], record)
    elif what == "evaluation" and isinstance(mean := facts["mean"], dict):
        baseline = facts["baseline"]
        seen = f"{mean['estimate']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}], shortcut baseline {baseline:.3f}"
        network = facts["model"]["network"] if isinstance(facts["model"], dict) else ""
        record.say(part, f"mean AUROC of {network}", seen, str(reports / "evaluation.html"))
    elif what == "bundle":
        record.say(part, "variant served", f"{facts['variant']}", str(reports / "variants.html"))
    elif what == "version":
        record.say(part, "version", f"{facts['version']}, sha256 {str(facts['digest'])[:12]}…")


def _say_refused(part: str, refused: object, record: Record) -> None:
    """One line a reason, with how many and the first: twenty patients of a hundred belong to an evaluation split."""
    if not isinstance(refused, list):
        return
    reasons = Counter(re.sub(r"(?<=patient )\S+", "…", each["reason"]) for each in refused)
    for reason, count in reasons.items():
        first = next(e for e in refused if re.sub(r"(?<=patient )\S+", "…", e["reason"]) == reason)
        record.say(part, "refused for training", f"{count} images, first sha256 {first['sha256'][:12]}…: {reason}")
