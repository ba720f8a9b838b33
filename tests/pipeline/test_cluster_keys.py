"""What a manifest says to a cluster: defaults, values from the ConfigMap, references, resources, and its locks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.runner.results import RunResult
from chexpert.pipeline.runner.running import NeedsCluster
from chexpert.pipeline.workflow.checking import check
from chexpert.pipeline.workflow.document import WorkflowRefused
from chexpert.pipeline.workflow.model import Workflow
from chexpert.pipeline.workflow.reading import read

DEFAULTS = """\
templateDefaults:
  container:
    image: house
    env: [{name: A, value: "1"}, {name: B, value: "1"}]
    envFrom: [{configMapRef: {name: chexpert}}, {secretRef: {name: keys}}]
templates:
  - {name: main, container: {image: house, command: [a], env: [{name: B, value: "2"}]}}
  - {name: alone, container: {image: house, command: [a], envFrom: [{secretRef: {name: keys}}]}}
"""
RESOURCE = """\
templates:
  - name: main
    inputs: {parameters: [{name: nodes, value: "2"}]}
    resource:
      action: create
      setOwnerReference: true
      successCondition: status.succeeded == {{inputs.parameters.nodes}}
      manifest: |
        apiVersion: batch/v1
        kind: Job
        metadata: {name: "{{workflow.name}}"}
        spec:
          completions: {{inputs.parameters.nodes}}
          template:
            spec:
              containers:
                - name: worker
                  command: [torchrun, --no-python, chexpert, step, report, --parameter=status=Failed]
"""


def test_lists_of_the_defaults_are_merged_as_in_kubernetes(workflow: Callable[[str], Workflow]) -> None:
    """`env` by name, the template's own value winning; `envFrom` of the template stands alone."""
    found = workflow(DEFAULTS).templates
    main, alone = found["main"].container, found["alone"].container
    assert main is not None
    assert alone is not None
    assert (dict(main.environment), main.config_maps) == ({"A": "1", "B": "2"}, ("chexpert",))
    assert alone.config_maps == ()


def test_home_stays_that_of_this_machine(ran: Callable[..., RunResult], monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's HOME is a folder of its own; here it would hide the user's git settings."""
    monkeypatch.setenv("HOME", "/of/the/user")
    result = ran(
        """\
        templates:
          - name: main
            container:
              image: x
              command: [sh, -c, "echo $HOME $OTHER"]
              env: [{name: HOME, value: /tmp}, {name: OTHER, value: here}]
        """
    )
    assert result.step("main").log.read_text().strip() == "/of/the/user here"


def test_a_value_of_the_config_map_is_its_default_here(workflow: Callable[[str], Workflow]) -> None:
    """There is no ConfigMap on one machine: the default stands in, and without one the value must be given."""
    found = workflow(
        """\
        arguments:
          parameters:
            - {name: image, valueFrom: {configMapKeyRef: {name: chexpert, key: K}, default: tools}}
            - {name: source, valueFrom: {configMapKeyRef: {name: chexpert, key: K}}}
        templates: [{name: main, container: {image: x, command: [a]}}]
        """
    )
    assert found.parameters == {"image": "tools", "source": None}


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("{configMapKeyRef: {name: other, key: K}}", "valueFrom needs a key of ConfigMap 'chexpert'"),
        ("{default: x}", "valueFrom needs a key of ConfigMap 'chexpert'"),
        ("{supplied: {}}", "'supplied'"),
    ],
)
def test_a_value_from_elsewhere_is_refused(written: Callable[[str], Path], origin: str, said: str) -> None:
    """Only the one ConfigMap is known here."""
    path = written(
        f"arguments: {{parameters: [{{name: a, valueFrom: {origin}}}]}}\n"
        "templates: [{name: main, container: {image: x, command: [a]}}]\n"
    )
    with pytest.raises(WorkflowRefused, match=said):
        read(path)


def referring(folder: Path, rest: str = "") -> Path:
    template = folder / "template.yaml"
    template.write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: other}\n"
        "spec:\n  entrypoint: main\n  arguments: {parameters: [{name: a, value: '1'}, {name: b}]}\n"
        "  templates: [{name: main, container: {image: x, command: [a]}}]\n"
    )
    path = folder / "cron.yaml"
    path.write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {name: weekly}\n"
        "spec:\n  schedules: ['0 0 * * 0']\n  workflowSpec:\n    workflowTemplateRef: {name: other}\n" + rest
    )
    return path


def test_a_reference_is_the_template_beside_it_with_its_own_arguments(tmp_path: Path) -> None:
    """Templates come from the one file, values from the other, which also names the run."""
    found = read(referring(tmp_path, "    arguments: {parameters: [{name: b, value: '2'}]}\n"))
    assert (found.name, found.parameters) == ("weekly", {"a": "1", "b": "2"})
    assert set(found.templates) == {"main"}


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("    arguments: {parameters: [{name: c, value: '2'}]}\n", ":8: other has no parameter 'c'"),
        ("    entrypoint: main\n", ":8: entrypoint beside workflowTemplateRef"),
    ],
)
def test_what_a_reference_cannot_mean_is_refused(tmp_path: Path, rest: str, said: str) -> None:
    """An argument that the template does not take, and a second definition beside it."""
    with pytest.raises(WorkflowRefused, match=said):
        read(referring(tmp_path, rest))


def test_a_reference_to_nothing_is_refused(tmp_path: Path) -> None:
    """The name is told with its line."""
    path = referring(tmp_path)
    (tmp_path / "template.yaml").unlink()
    with pytest.raises(WorkflowRefused, match=":7: no WorkflowTemplate 'other' lies beside this file"):
        read(path)


def test_a_resource_is_checked_and_not_run(workflow: Callable[[str], Workflow], ran: Callable[..., RunResult]) -> None:
    """Its steps are held against the declarations; running it here is refused by name before anything starts."""
    found = workflow(RESOURCE)
    assert [template.name for template in found.needs_cluster] == ["main"]
    assert [problem.message for problem in check(found, STEPS)] == [
        "step report gives 'outcome', which template 'main' lacks"
    ]
    with pytest.raises(NeedsCluster, match="runs on a cluster only: main"):
        ran(RESOURCE)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("report, --", "teach, --", "invalid choice: 'teach'"),
        ("parameter=status", "parameter=end", "has no parameter end"),
        ("completions: ", "completions: [", "its manifest is no YAML of one object"),
    ],
)
def test_a_difference_within_a_resource_is_found(
    workflow: Callable[[str], Workflow], old: str, new: str, said: str
) -> None:
    """Also behind a launcher a step is one of ours, with its parameters."""
    problems = check(workflow(RESOURCE.replace(old, new)), STEPS)
    assert [problem for problem in problems if said in problem.message and problem.line > 1], problems


def test_a_variable_within_a_resource_must_have_a_value(written: Callable[[str], Path]) -> None:
    """A name that leads nowhere would reach the cluster as text."""
    with pytest.raises(WorkflowRefused, match=r"inputs\.parameters\.pods"):
        read(
            written(RESOURCE.replace("completions: {{inputs.parameters.nodes", "completions: {{inputs.parameters.pods"))
        )


def test_locks_limits_and_garbage_are_left_to_a_cluster(workflow: Callable[[str], Workflow]) -> None:
    """What concerns other runs and what is kept of pods has no meaning here, and is no reason to refuse."""
    workflow(
        """\
        synchronization: {mutexes: [{name: one}]}
        activeDeadlineSeconds: 60
        artifactGC: {strategy: OnWorkflowDeletion}
        podMetadata: {labels: {a: b}}
        templates: [{name: main, container: {image: x, command: [a]}}]
        """
    )
