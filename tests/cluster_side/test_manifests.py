"""What is submitted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from chexpert.cluster.errors import NotAWorkflow, NothingToSubmit
from chexpert.cluster.manifests import of_file, of_template, workflow

Cluster = Callable[[Mapping[str, Any]], Any]

WORKFLOWS = Path(__file__).parents[2] / "argo" / "workflows"
TEMPLATES = "/apis/argoproj.io/v1alpha1/namespaces/n/workflowtemplates"
CRONS = "/apis/argoproj.io/v1alpha1/namespaces/n/cronworkflows"
SPEC = {"entrypoint": "a", "arguments": {"parameters": [{"name": "p"}, {"name": "q", "value": "1"}]}}
TEMPLATE = {"metadata": {"name": "t"}, "spec": SPEC}


def test_a_template_of_the_cluster_is_referred_to(recorded_api: Cluster) -> None:
    """Only what is given travels: the template's own values stay its own."""
    source = of_template(recorded_api({f"{TEMPLATES}/t": TEMPLATE}), "n", "t")
    made = workflow(source, {"p": "x"}, in_cluster=True)
    assert made["spec"] == {
        "workflowTemplateRef": {"name": "t"},
        "arguments": {"parameters": [{"name": "p", "value": "x"}]},
    }
    assert made["metadata"]["generateName"] == "t-"


def test_a_cron_workflow_may_run_now(recorded_api: Cluster) -> None:
    """Its workflow is copied: Argo knows no reference to it."""
    cron = {"metadata": {"name": "c"}, "spec": {"schedules": ["* * * * *"], "workflowSpec": SPEC}}
    made = workflow(of_template(recorded_api({f"{CRONS}/c": cron}), "n", "c"), {"p": "x"}, in_cluster=True)
    assert made["spec"]["entrypoint"] == "a"
    assert made["spec"]["arguments"]["parameters"] == [{"name": "p", "value": "x"}, {"name": "q", "value": "1"}]


def test_an_unknown_name_is_told_with_those_there_are(recorded_api: Cluster) -> None:
    """A misspelt template names its neighbours."""
    api = recorded_api({TEMPLATES: {"items": [TEMPLATE]}, CRONS: {"items": []}})
    with pytest.raises(NothingToSubmit, match="it has: t"):
        of_template(api, "n", "tt")


@pytest.mark.parametrize("name", ["continuous-x.yaml", "rollout.yaml"])
def test_our_files_become_workflows(name: str) -> None:
    """A WorkflowTemplate's spec, or a CronWorkflow's, with every parameter it takes."""
    source = of_file(WORKFLOWS / name)
    given = {"source": "s3://x"} if name == "continuous-x.yaml" else {"merge": "auto"}
    made = workflow(source, given, in_cluster=False)
    assert (made["kind"], made["metadata"]["generateName"]) == ("Workflow", f"{source.name}-")
    values = {one["name"]: one.get("value") for one in made["spec"]["arguments"]["parameters"]}
    assert given.items() <= values.items()
    assert set(values) == {one["name"] for one in source.parameters}


def test_a_wrong_parameter_is_refused_before_anything_is_made() -> None:
    """Argo would take an unknown one in silence, and start a run that lacks one."""
    source = of_file(WORKFLOWS / "continuous-x.yaml")
    with pytest.raises(NotAWorkflow, match="no parameter sorce"):
        workflow(source, {"sorce": "x"}, in_cluster=False)
    with pytest.raises(NotAWorkflow, match="no value for source"):
        workflow(source, {}, in_cluster=True)


@pytest.mark.parametrize("text", ["kind: ConfigMap", "[", "- a", "kind: Workflow"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    """By its name, whatever it holds."""
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(NotAWorkflow, match=r"x\.yaml"):
        of_file(tmp_path / "x.yaml")
