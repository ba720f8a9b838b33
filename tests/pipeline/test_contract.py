"""The workflows of this repository and the declared steps say the same, both ways."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.workflow import variables
from chexpert.pipeline.workflow.checking import check, steps_of
from chexpert.pipeline.workflow.document import load
from chexpert.pipeline.workflow.model import Workflow
from chexpert.pipeline.workflow.reading import read

WORKFLOWS = Path(__file__).parents[2] / "argo" / "workflows"
DISTRIBUTED = WORKFLOWS / "train-distributed.yaml"
FILES = ("continuous-x.yaml", "etl.yaml", "retrain.yaml", "rollout.yaml", "train-distributed.yaml")


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
    if "workflowTemplateRef" in text:
        assert "container:" not in text
        return
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
    workflow = read(path)
    found = [problem for problem in check(workflow, STEPS) if "must not be optional" in problem.message]
    assert len(found) == sum("verdict" in STEPS[step].outputs for step in steps_of(workflow))


def test_the_two_trainings_may_run_at_once() -> None:
    """CNN and ViT wait for the data and not for each other."""
    tasks = {task.name: task for task in continuous().tasks()}
    assert tasks["train-cnn"].dependencies == tasks["train-vit"].dependencies == ("ingest",)
    assert set(tasks["evaluate"].dependencies) == {"train-cnn", "train-vit"}


def test_output_parameters_are_held_too(tmp_path: Path) -> None:
    """A value under another name than the step's is told both ways."""
    text = (WORKFLOWS / "etl.yaml").read_text(encoding="utf-8")
    for old, new in (("name: numbers,", "name: n,"), ("/step/out/numbers", "/step/out/n"), ("s.numbers", "s.n")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "changed.yaml"
    path.write_text(text, encoding="utf-8")
    assert [problem.message for problem in check(read(path), STEPS)] == [
        "template 'plan' says 'n', which step etl-plan does not",
        "step etl-plan says 'numbers', which template 'plan' lacks",
    ]


@pytest.mark.parametrize("name", [name for name in FILES if name != "rollout.yaml"])
def test_every_run_reports_its_outcome(name: str) -> None:
    """What failed and what the gates said becomes one object. The rollout has its timeline for that."""
    workflow = read(WORKFLOWS / name)
    handler = workflow.templates[workflow.on_exit].container
    assert handler is not None
    assert {"--parameter=status={{workflow.status}}", "--parameter=failures={{workflow.failures}}"} < set(handler.args)


def test_git_credentials_and_the_way_to_git_reach_only_what_needs_them() -> None:
    """The step evaluate reads what serves now; stage, propose and advance push. No other step has Secret or label."""
    labelled = {
        template["name"]
        for name in FILES
        for template in spec_of(name).get("templates", ())
        if template.get("metadata", {}).get("labels", {}).get("chexpert/git")
    }
    holders = {
        template["name"]
        for name in FILES
        for template in spec_of(name).get("templates", ())
        if {"name": "chexpert-git", "optional": True}
        in [source.get("secretRef") for source in template.get("container", {}).get("envFrom", ())]
    }
    assert holders == labelled == {"evaluate", "stage", "propose", "advance"}
    for name in FILES:
        assert "chexpert-git" not in str(spec_of(name).get("templateDefaults", ""))


@pytest.mark.parametrize("name", FILES)
def test_the_image_comes_by_one_parameter(name: str) -> None:
    """Each container runs the parameter, whose value a site's ConfigMap may name; an immutable tag is the default."""
    spec = spec_of(name)
    if "workflowTemplateRef" in spec:
        return
    (image,) = (item for item in spec["arguments"]["parameters"] if item["name"] == "image")
    assert image["valueFrom"]["configMapKeyRef"]["name"] == "chexpert"
    assert re.fullmatch(r"chexpert/(tools|train):\d+\.\d+\.\d+", image["valueFrom"]["default"])
    for template in spec["templates"]:
        if "container" in template:
            assert template["container"]["image"] == "{{workflow.parameters.image}}"
        if "resource" in template and "image:" in template["resource"]["manifest"]:
            assert 'image: "{{workflow.parameters.image}}"' in template["resource"]["manifest"]


def test_the_objects_of_a_resource_are_valid() -> None:
    """Kubernetes' own schemas take the Job and its Service, without an unknown field; the Job selects what is meant."""
    manifests = {t.name: t.resource.manifest for t in read(DISTRIBUTED).templates.values() if t.resource is not None}
    assert manifests.keys() == {"service", "job"}
    filled = {"workflow.parameters.cpu": "1", "workflow.parameters.memory": "2Gi", "workflow.name": "train-1"}
    objects = {}
    for name, text in manifests.items():
        values = {variable: filled.get(variable, "2") for variable in variables.names(text)}
        objects[name] = YAML(typ="safe").load(variables.substitute(text, values))
        kubernetes_validate.validate(objects[name], "1.35", strict=True)
    service, job = objects["service"], objects["job"]
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}


def spec_of(name: str) -> Any:
    document = load(WORKFLOWS / name)
    return document.get(("spec", "workflowSpec")) or document.get(("spec",))


def continuous() -> Workflow:
    return read(WORKFLOWS / "continuous-x.yaml")
