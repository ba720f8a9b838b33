import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chexpert.data.chexpert_csv import COLUMNS
from chexpert.domain.errors import InputError
from chexpert.domain.places import Places
from chexpert.local.demo.chapters import candidate_data, draw_data, report_run, serve_command
from chexpert.local.demo.command import DemoRequest, _plan, _title
from chexpert.local.demo.display import Display
from chexpert.local.demo.faults import FAULTS, UnknownFault, fault
from chexpert.local.demo.plan import Plan, Sizes
from chexpert.local.demo.progress import Progress
from chexpert.local.demo.record import Record
from chexpert.local.home import Home
from chexpert.pipeline.runner.results import RunResult, RunStatus, StepResult, StepStatus

PLAIN = DemoRequest(data=None, traffic=None, fault="", once=True, home=None)
STEPS = ("ingest", "evaluate", "optimise", "register", "load-test", "propose")


def plan_of(tmp_path: Path, name: str = "") -> Plan:
    data = tmp_path / "data"
    data.mkdir()
    return _plan(replace(PLAIN, data=data, home=tmp_path / "home", fault=name))


@pytest.fixture
def display() -> Display:
    return Display(Console(file=io.StringIO(), width=200))


def said(display: Display) -> str:
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue()


def test_no_fault_is_none_and_each_fault_is_found() -> None:
    """Every fault says what is planted and where the platform should stop it."""
    assert fault("") is None
    for name in ("wrong-labels", "nan", "slow", "errors", "shifted-images"):
        found = fault(name)
        assert found is FAULTS[name]
        assert found.planted
        assert found.expected


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    """A slip of the pen does not run the healthy demo."""
    with pytest.raises(UnknownFault, match="no fault 'wrong': choose from wrong-labels, nan, slow, errors, shifted"):
        fault("wrong")


def test_the_plain_demo_lives_in_var_with_phantoms() -> None:
    """Without any choice phantoms are drawn below var, and judged by the phantoms' floors."""
    plan = _plan(PLAIN)
    assert plan.home == Path("var").resolve()
    assert plan.data == plan.home / "phantoms"
    assert plan.draws
    assert (plan.profile, plan.fault, plan.once) == ("phantom", None, True)
    assert _title(plan) == "chexpert demo: the main job, phantoms"


def test_each_kind_of_demo_has_a_home_of_its_own(tmp_path: Path) -> None:
    """Other data or a fault does not meet the models and tables of the plain demo."""
    data = tmp_path / "chexpert-small"
    data.mkdir()
    real = _plan(replace(PLAIN, data=data))
    assert real.home == Path("var", "chexpert-small").resolve()
    assert (real.data, real.draws, real.profile) == (data, False, "small-real")
    both = _plan(replace(PLAIN, data=data, fault="nan"))
    assert both.home == Path("var", "chexpert-small-fault-nan").resolve()
    assert _title(both) == "chexpert demo: fault nan, chexpert-small"
    assert _plan(replace(PLAIN, fault="nan", home=tmp_path / "mine")).home == tmp_path / "mine"


@pytest.mark.parametrize("which", ["data", "traffic"])
def test_a_path_that_is_no_folder_is_refused(tmp_path: Path, which: str) -> None:
    """A missing folder, or a file, is named before anything starts."""
    file = tmp_path / "train.csv"
    file.touch()
    for path in (file, tmp_path / "missing"):
        with pytest.raises(InputError, match=rf"{path} is no folder: DATA is one in CheXpert's CSV layout"):
            _plan(replace(PLAIN, **{which: path}))


def test_turns_are_counted_when_they_are_complete(tmp_path: Path) -> None:
    """A turn that was cut short is taken up again; a completed one is followed by the next."""
    path = tmp_path / "demo" / "progress.json"
    assert Progress(path).turn == 0
    assert Progress(path).turn == 0
    Progress(path).complete()
    second = Progress(path)
    assert second.turn == 1
    second.complete()
    second.complete()
    assert Progress(path).turn == 2


def test_phantoms_are_drawn_once_and_counted_both_times(tmp_path: Path, display: Display) -> None:
    """The second demo in a home finds the images of the first."""
    plan = replace(plan_of(tmp_path), sizes=Sizes(train_patients=3, valid_patients=2))
    drawn = draw_data(plan, display)
    files = {path: path.stat().st_mtime_ns for path in plan.data.rglob("*.jpg")}
    assert drawn == len(files) >= 5
    assert draw_data(plan, display) == drawn
    assert {path: path.stat().st_mtime_ns for path in plan.data.rglob("*.jpg")} == files


def test_only_wrong_labels_trains_on_other_data(tmp_path: Path) -> None:
    """With that fault the candidate's labels are permuted in a copy; else the first training's folder is used."""
    plan = plan_of(tmp_path, "wrong-labels")
    rows = [[f"train/patient{n}/view1.jpg", "Male", "60", "Frontal", "AP", *(["1.0"] * n)] for n in range(9)]
    lines = [",".join(COLUMNS), *(",".join(row + [""] * (len(COLUMNS) - len(row))) for row in rows)]
    (plan.data / "train.csv").write_text("\n".join(lines) + "\n")
    (plan.data / "valid.csv").write_text(lines[0] + "\n")
    home = Home(plan.home)
    home.create()
    target = candidate_data(plan, home)
    assert target == plan.home / "wrong-labels"
    wrong = (target / "train.csv").read_text().splitlines()
    assert wrong != lines
    assert wrong[0] == lines[0]
    assert (plan.data / "train.csv").read_text().splitlines() == lines
    for name in ("nan", ""):
        assert candidate_data(replace(plan, fault=fault(name)), home) == plan.data


@pytest.mark.parametrize("name", ["slow", "errors"])
def test_a_serving_fault_stands_in_front_of_production_and_is_off_at_first(tmp_path: Path, name: str) -> None:
    """Only production gets another program, and the switch that an earlier run left on is off again."""
    plan = plan_of(tmp_path, name)
    home = Home(plan.home)
    home.create()
    (home.run / "fault").touch()
    commands = serve_command(plan, home)
    assert commands.keys() == {"production"}
    assert commands["production"][1:4] == ["-m", "chexpert.testing.faults", name]
    assert commands["production"][-1] == "--"
    assert not (home.run / "fault").exists()


@pytest.mark.parametrize("name", ["", "nan", "wrong-labels", "shifted-images"])
def test_other_demos_serve_as_always(tmp_path: Path, name: str) -> None:
    """No program stands in front of the server."""
    plan = plan_of(tmp_path, name)
    home = Home(plan.home)
    home.create()
    assert serve_command(plan, home) == {}


def run_result(folder: Path, name: str, outputs: dict[tuple[str, str], Any], **changed: StepResult) -> RunResult:
    """A run whose steps succeeded, but for those given, with these outputs."""
    steps = {step: StepResult(step, step, StepStatus.SUCCEEDED, folder / step) for step in STEPS}
    for (step, output), value in outputs.items():
        out = folder / step / "out"
        out.mkdir(parents=True, exist_ok=True)
        (out / output).write_text(json.dumps(value))
    steps |= {step.name: step for step in changed.values()}
    status = next((RunStatus(s.status.value) for s in changed.values()), RunStatus.SUCCEEDED)
    return RunResult(name, status, tuple(steps.values()), folder)


def test_refused_images_are_counted_by_reason(tmp_path: Path, display: Display) -> None:
    """Twenty patients of one split are one line with their number and the first image; another reason is another."""
    refused = [{"sha256": f"{n:064x}", "reason": f"patient p{n} is in the evaluation split valid"} for n in range(3, 6)]
    refused += [{"sha256": "f" * 64, "reason": "the image is in the evaluation split tune"}]
    increment = {"new_labels": 12, "rows": 4, "counts": {"Edema": 12}, "refused": refused}
    record = Record()
    result = run_result(tmp_path / "run", "candidate-1", {("ingest", "increment"): increment})
    assert report_run(result, Places(objects=str(tmp_path)), record, display) == ""
    assert [row.seen for row in record.rows if row.what == "refused for training"] == [
        f"3 images, first sha256 {3:064x}"[: len("3 images, first sha256 ") + 12]
        + "…: patient … is in the evaluation split valid",
        "1 images, first sha256 ffffffffffff…: the image is in the evaluation split tune",
    ]
    assert "12 on 4 images" in record.rows[0].seen
    assert {row.part for row in record.rows} == {"Candidate"}


def test_nothing_refused_says_nothing_and_the_first_model_has_no_increment(tmp_path: Path, display: Display) -> None:
    """A line stands only where there is something to tell."""
    increment = {"new_labels": 0, "rows": 0, "counts": {}, "refused": []}
    for name, expected in (("candidate-0", ["new labels from readers"]), ("first-0", [])):
        record = Record()
        result = run_result(tmp_path / name, name, {("ingest", "increment"): increment})
        report_run(result, Places(objects=str(tmp_path)), record, display)
        assert [row.what for row in record.rows] == expected


def test_a_refused_run_tells_where_and_why(tmp_path: Path, display: Display) -> None:
    """What is returned is what a fault's expectation names; the reasons are recorded and printed."""
    why = ("mean AUROC 0.49 under 0.65",)
    culprit = StepResult("evaluate", "evaluate", StepStatus.REFUSED, tmp_path / "evaluate", reasons=why)
    record = Record()
    ended = report_run(
        run_result(tmp_path / "run", "candidate-0", {}, evaluate=culprit),
        Places(objects=str(tmp_path)),
        record,
        display,
    )
    assert ended == FAULTS["wrong-labels"].expected == "refused at evaluate"
    assert (record.rows[-1].what, record.rows[-1].seen) == ("evaluate refused", why[0])
    assert "evaluate refused: mean AUROC 0.49 under 0.65" in said(display)
