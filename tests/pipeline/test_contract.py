"""The workflows of this repository and the declared steps say the same, both ways."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.workflow.checking import check, steps_of
from chexpert.pipeline.workflow.model import Workflow
from chexpert.pipeline.workflow.reading import read

WORKFLOWS = Path(__file__).parents[2] / "argo" / "workflows"
FILES = ("continuous-x.yaml", "rollout.yaml")


@pytest.mark.parametrize("name", FILES)
def test_every_step_parameter_and_artifact_is_declared(name: str) -> None:
    """No difference between file and declarations."""
    assert check(read(WORKFLOWS / name), STEPS) == ()


def test_every_declared_step_stands_in_a_workflow() -> None:
    """No step is left that nothing runs."""
    used = {step for name in FILES for step in steps_of(read(WORKFLOWS / name))}
    assert used == set(STEPS)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_has_its_module(name: str) -> None:
    """The function of each declaration is in a module of this package."""
    module = STEPS[name].function.partition(":")[0]
    assert module.startswith("chexpert.pipeline.steps.")
    assert find_spec(module) is not None


@pytest.mark.parametrize("name", FILES)
def test_containers_are_safe_by_default(name: str) -> None:
    """Every container writes only below /step and /tmp, tries again on 75, and gets its places by the ConfigMap."""
    text = (WORKFLOWS / name).read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=")
    assert ":latest" not in text
    for words in (
        "readOnlyRootFilesystem: true",
        "runAsNonRoot: true",
        "allowPrivilegeEscalation: false",
        "drop: [ALL]",
    ):
        assert words in text
    for template in read(WORKFLOWS / name).templates.values():
        if template.container is not None:
            assert template.retry is not None, template.name
            assert template.container.config_maps == ("chexpert",), template.name


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("command: [chexpert, step, train]", "command: [chexpert, step, teach]", "invalid choice: 'teach'"),
        ("--parameter=epochs=", "--parameter=epoch=", "step train has no parameter epoch"),
        ("          - --parameter=network={{inputs.parameters.network}}\n", "", "needs the parameter network"),
        ("{name: increment, path: /step/out/increment,", "{name: plus, path: /step/out/plus,", "gives 'plus'"),
        ("          - {name: increment, path: /step/out/increment, optional: true}\n", "", "gives 'increment'"),
        ("/step/out/model, optional: true}", "/step/out/model}", "output 'model' must be optional"),
    ],
)
def test_a_difference_is_found_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Each change of one place is told with a line of the file."""
    text = (WORKFLOWS / "continuous-x.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "changed.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    problems = check(read(path), STEPS)
    assert [p for p in problems if said in p.message and p.line > 1], problems


def test_an_optional_verdict_is_found(tmp_path: Path) -> None:
    """A gate that may end without its verdict is a hole in the record."""
    text = (WORKFLOWS / "continuous-x.yaml").read_text(encoding="utf-8")
    path = tmp_path / "changed.yaml"
    path.write_text(text.replace("path: /step/out/verdict}", "path: /step/out/verdict, optional: true}"))
    found = [problem for problem in check(read(path), STEPS) if "must not be optional" in problem.message]
    assert len(found) == sum("verdict" in declaration.outputs for declaration in STEPS.values())


def test_the_two_trainings_may_run_at_once() -> None:
    """CNN and ViT wait for the data and not for each other."""
    tasks = {task.name: task for task in continuous().tasks()}
    assert tasks["train-cnn"].dependencies == tasks["train-vit"].dependencies == ("ingest",)
    assert set(tasks["evaluate"].dependencies) == {"train-cnn", "train-vit"}


def continuous() -> Workflow:
    return read(WORKFLOWS / "continuous-x.yaml")
