"""What the reader accepts, and what it refuses by name and line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.pipeline.workflow.document import WorkflowRefused
from chexpert.pipeline.workflow.model import Workflow
from chexpert.pipeline.workflow.reading import read

GOOD = """\
arguments:
  parameters:
    - {name: word, value: hello}
templates:
  - name: main
    dag:
      tasks:
        - {name: a, template: say}
        - name: b
          template: say
          depends: a
          when: "{{workflow.parameters.word}} == hello"
          arguments:
            artifacts:
              - {name: text, from: "{{tasks.a.outputs.artifacts.text}}"}
  - name: say
    inputs:
      artifacts:
        - {name: text, path: /step/in/text, optional: true}
    outputs:
      artifacts:
        - {name: text, path: /step/out/text}
    retryStrategy:
      limit: "2"
      expression: asInt(lastRetry.exitCode) == 75
      backoff: {duration: 500ms, factor: "2"}
    container:
      image: house
      command: [echo, "{{workflow.parameters.word}}"]
      resources: {requests: {cpu: "1"}}
"""
FIRST = 6
"""Line of the file on which the first line of GOOD stands."""


def test_a_manifest_of_the_supported_kind_is_read(workflow: Callable[[str], Workflow]) -> None:
    """Every part of the subset comes out of the model as it was written."""
    found = workflow(GOOD)
    first, second = found.tasks()
    template = found.templates["say"]
    assert (found.name, found.parameters) == ("small", {"word": "hello"})
    assert (first.dependencies, second.dependencies) == ((), ("a",))
    assert second.when is not None
    assert second.when.holds({"workflow.parameters.word": "hello"})
    assert not second.when.holds({"workflow.parameters.word": "other"})
    assert template.retry is not None
    assert (template.retry.limit, template.retry.wait.total_seconds(), template.retry.factor) == (2, 0.5, 2.0)
    assert template.container is not None
    assert template.container.command == ("echo", "{{workflow.parameters.word}}")
    assert first.line == FIRST + 7


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("      image: house\n", "      image: house\n      imagePullPolciy: Always\n", 28, "'imagePullPolciy'"),
        ("      image: house\n", "      image: house\n      lifecycle: {}\n", 28, "'lifecycle'"),
        ("      image: house\n", "", 26, "needs the key 'image'"),
        ("          depends: a\n", "          depends: a.Failed\n", 10, "'a.Failed' is not a plain task name"),
        ("          depends: a\n", "          depends: a || a\n", 10, "'a || a' is not a plain task name"),
        ("          depends: a\n", "          depends: z\n", 8, "depends on 'z', which isn't there"),
        ("          depends: a\n", "", 8, "does not depend on 'a'"),
        ("          depends: a\n", "          depends: a\n          withItems: [1]\n", 11, "'withItems'"),
        ("          depends: a\n", "          depends: a\n          continueOn: {failed: true}\n", 11, "'continueOn'"),
        ('{{workflow.parameters.word}} == hello"', 'a =~ b"', 11, "when: 'a =~ b' is not supported"),
        ('{{workflow.parameters.word}} == hello"', '(a == b) && c == d"', 11, "is not supported"),
        ('{{workflow.parameters.word}} == hello"', '{{tasks.a.status}} == x"', 8, "{{tasks.a.status}}"),
        ("asInt(lastRetry.exitCode) == 75", "asInt(lastRetry.exitCode) > 1", 24, "expression is not"),
        ('limit: "2"', "limit: 2", 23, "retryStrategy.limit does not fit Argo's schema"),
        ('limit: "2"', 'limit: "often"', 23, "limit is 'often'"),
        ("duration: 500ms", "duration: soon", 25, "'soon' is no duration"),
        ("path: /step/out/text", "path: /tmp/text", 21, "lies at '/tmp/text', not at /step/out/text"),
        ("outputs.artifacts.text}}", "outputs.artifacts.texts}}", 8, "'a' gives no such artifact"),
        ("{name: a, template: say}", "{name: a, template: speak}", 7, "'speak', which isn't there"),
        ("{name: a, template: say}", "{name: b, template: say}", 8, "task 'b' stands twice"),
        ('command: [echo, "{{workflow.parameters.word}}"]', "args: [x]", 26, "needs its command"),
        ('"{{workflow.parameters.word}}"]', '"{{inputs.parameters.x}}"]', 26, "{{inputs.parameters.x}}"),
        ("templates:", "hooks: {exit: {template: say}}\ntemplates:", 3, "'hooks'"),
        ("templates:", "onExit: bye\ntemplates:", 3, "onExit names the template 'bye'"),
        ("resources:", "envFrom: [{configMapRef: {name: other}}]\n      resources:", 29, "ConfigMap 'other'"),
        ("      tasks:\n", "      failFast: false\n      tasks:\n", 6, "'failFast'"),
        ("    retryStrategy:", "    podSpecPatch: x\n    retryStrategy:", 22, "'podSpecPatch'"),
    ],
)
def test_what_is_unknown_unsupported_or_lost_is_refused_at_its_line(
    written: Callable[[str], Path], old: str, new: str, line: int, said: str
) -> None:
    """Each change of one place of a good manifest is refused by name, at the line it stands on."""
    assert GOOD.count(old) == 1
    path = written(GOOD.replace(old, new))
    with pytest.raises(WorkflowRefused, match=r"workflow\.yaml") as caught:
        read(path)
    assert [p.line for p in caught.value.problems if said in p.message] == [FIRST + line], str(caught.value)


def test_a_circle_is_refused(written: Callable[[str], Path]) -> None:
    """Tasks that wait for each other would never begin."""
    with pytest.raises(WorkflowRefused, match="task 'a' depends on itself"):
        read(written(GOOD.replace("{name: a, template: say}", "{name: a, template: say, depends: b}")))


def test_a_dag_inside_a_dag_is_refused(written: Callable[[str], Path]) -> None:
    """Nested DAGs are no part of the subset."""
    with pytest.raises(WorkflowRefused, match="uses a dag as its template"):
        read(written(GOOD.replace("{name: a, template: say}", "{name: a, template: main}")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", ":1: not one YAML document"),
        ("a: 1\n---\nb: 2\n", "not one YAML document"),
        ("- a\n", ":1: the document is no map"),
        ("kind: Workflow\nkind: Workflow\n", ":2: not one YAML document: found duplicate key"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Deployment\n", ":2: kind is 'Deployment'"),
        ("kind: Workflow\napiVersion: v1\n", ":2: apiVersion is 'v1'"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A broken file is told by its line, never read in part."""
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkflowRefused) as caught:
        read(path)
    assert said in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(WorkflowRefused, match=r"nowhere\.yaml:1: cannot be read"):
        read(tmp_path / "nowhere.yaml")


def test_defaults_reach_containers(workflow: Callable[[str], Workflow]) -> None:
    """Keys of templateDefaults are merged under each container, as Argo does; the template's own key wins."""
    found = workflow(
        """\
        templateDefaults:
          activeDeadlineSeconds: "90"
          container:
            image: house
            envFrom: [{configMapRef: {name: chexpert}}]
        templates:
          - {name: main, container: {image: house, command: [a]}}
          - {name: other, activeDeadlineSeconds: "5", container: {image: house, command: [b]}}
        """
    )
    main, other = found.templates["main"], found.templates["other"]
    assert main.container is not None
    assert (main.container.config_maps, main.container.command) == (("chexpert",), ("a",))
    assert main.deadline is not None
    assert other.deadline is not None
    assert (main.deadline.total_seconds(), other.deadline.total_seconds()) == (90, 5)
