"""The runner does with a manifest what Argo would: order, artifacts, conditions, fan-out, retries, exit codes."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.domain.errors import InputError
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.runner.results import RunResult, RunStatus, StepResult, StepStatus

Ran = Callable[..., RunResult]


def dag(*tasks: str, templates: str = "", spec: str = "") -> str:
    """A manifest with these tasks and a template `sh` that runs the parameter `do`."""
    lines = "".join(f"        - {task}\n" for task in tasks)
    return (
        f"{spec}\ntemplates:\n  - name: main\n    dag:\n      tasks:\n{lines}"
        "  - name: sh\n    inputs: {parameters: [{name: do, value: 'true'}]}\n"
        "    container: {image: x, command: [sh, -c, '{{inputs.parameters.do}}']}\n"
        f"{templates}"
    )


def sh(name: str, do: str, rest: str = "") -> str:
    """A task of the template `sh`."""
    return f"{{name: {name}, template: sh, arguments: {{parameters: [{{name: do, value: '{do}'}}]}}{rest}}}"


GIVE = """\
  - name: give
    inputs: {parameters: [{name: text}]}
    outputs:
      artifacts: [{name: text, path: /step/out/text}, {name: extra, path: /step/out/extra, optional: true}]
      parameters: [{name: said, valueFrom: {path: /step/out/said}}]
    container:
      image: x
      command: [sh, -c, 'printf %s "$0" > /step/out/text; printf %s "$0" > /step/out/said']
      args: ["{{inputs.parameters.text}}"]
  - name: take
    inputs: {artifacts: [{name: text, path: /step/in/text}]}
    container: {image: x, command: [cat, /step/in/text]}
"""


def take(artifact: str) -> str:
    """A task of the template `take`, with an artifact of the task `a`."""
    source = f"{{{{tasks.a.outputs.artifacts.{artifact}}}}}"
    return f'{{name: b, template: take, depends: a, arguments: {{artifacts: [{{name: text, from: "{source}"}}]}}}}'


def overlap(first: StepResult, second: StepResult) -> bool:
    """Whether two steps ran at the same time."""
    assert first.started
    assert first.ended
    assert second.started
    assert second.ended
    return first.started < second.ended and second.started < first.ended


def test_an_artifact_reaches_the_step_that_takes_it(ran: Ran) -> None:
    """What one step writes under /step/out lies under /step/in of the next; paths are replaced, nothing else."""
    give = "{name: a, template: give, arguments: {parameters: [{name: text, value: 'from /step/input'}]}}"
    result = ran(dag(give, take("text"), templates=GIVE))
    assert result.status is RunStatus.SUCCEEDED
    assert result.step("b").log.read_text() == "from /step/input"


def test_an_output_that_was_promised_and_not_written_is_a_fault(ran: Ran) -> None:
    """A step that exits 0 without a required output has failed, as in Argo."""
    give = "{name: a, template: give, arguments: {parameters: [{name: text, value: x}]}}"
    result = ran(dag(give, templates=GIVE), commands={"give": ["true"]})
    assert result.status is RunStatus.FAILED
    assert result.step("a").reasons == ("exit code 0, but it did not write text, said, which is not optional",)


def test_an_optional_output_that_is_missing_stops_only_who_needs_it(ran: Ran) -> None:
    """An optional artifact may be absent; a taker that requires it fails, naming giver and artifact."""
    give = "{name: a, template: give, arguments: {parameters: [{name: text, value: x}]}}"
    result = ran(dag(give, take("extra"), templates=GIVE))
    assert result.step("a").status is StepStatus.SUCCEEDED
    assert result.step("b").reasons == ("b needs the artifact text, and a gave no extra",)


def test_a_dependency_ends_before_its_dependant_begins(ran: Ran) -> None:
    """The order of the DAG holds in the recorded times."""
    result = ran(dag(sh("a", "sleep 0.2"), sh("b", "true", ", dependencies: [a]")))
    first, second = result.step("a"), result.step("b")
    assert first.ended
    assert second.started
    assert first.ended <= second.started


@pytest.mark.parametrize(("max_parallel", "expected"), [(2, True), (1, False)])
def test_independent_steps_overlap_as_far_as_allowed(ran: Ran, max_parallel: int, expected: bool) -> None:
    """Intervals of independent steps overlap with two places, and never with one."""
    result = ran(dag(sh("a", "sleep 0.3"), sh("b", "sleep 0.3")), max_parallel=max_parallel)
    assert overlap(result.step("a"), result.step("b")) is expected


def test_the_files_own_parallelism_is_an_upper_bound(ran: Ran) -> None:
    """`parallelism: 1` in the file wins over two places."""
    result = ran(dag(sh("a", "sleep 0.2"), sh("b", "sleep 0.2"), spec="parallelism: 1"), max_parallel=2)
    assert not overlap(result.step("a"), result.step("b"))


def test_when_skips_a_step_and_its_dependants_go_on(ran: Ran) -> None:
    """A condition that does not hold skips that step alone."""
    spec = "arguments: {parameters: [{name: go, value: no}]}"
    when = ', when: "{{workflow.parameters.go}} == yes"'
    rest = dag(sh("a", "true", when), sh("b", "true", ", depends: a"), spec=spec.replace("value: no", "value: 'no'"))
    result = ran(rest)
    assert (result.step("a").status, result.step("b").status) == (StepStatus.SKIPPED, StepStatus.SUCCEEDED)
    assert ran(rest, parameters={"go": "yes"}).step("a").status is StepStatus.SUCCEEDED


def test_fan_out_runs_once_per_item_and_gathers_what_each_said(ran: Ran) -> None:
    """A withParam starts one run per item, side by side, and hands on a JSON list of the output parameters."""
    first = '{name: list, template: give, arguments: {parameters: [{name: text, value: \'["x", {"k": 2}]\'}]}}'
    each = (
        '{name: each, template: give, depends: list, withParam: "{{tasks.list.outputs.parameters.said}}", '
        'arguments: {parameters: [{name: text, value: "<{{item}}>"}]}}'
    )
    last = sh("last", 'echo "$0" {{tasks.each.outputs.parameters.said}}', ", depends: each")
    result = ran(dag(first, each, last, templates=GIVE))
    assert result.status is RunStatus.SUCCEEDED, result.culprits
    assert (result.folder / "each.0/out/text").read_text() == "<x>"
    assert (result.folder / "each.1/out/text").read_text() == '<{"k": 2}>'
    assert "<x>" in result.step("last").log.read_text()


def test_a_fan_out_over_no_list_fails(ran: Ran) -> None:
    """A withParam that is no JSON list is told as such, with the task's name."""
    result = ran(dag(sh("a", "true", ", withParam: hello")))
    assert result.step("a").reasons == ("withParam of a is no JSON: 'hello'",)


RETRY = """\
  - name: flaky
    retryStrategy:
      limit: "2"
      expression: asInt(lastRetry.exitCode) == 75
      backoff: {duration: 200ms, factor: "2"}
    container: {image: x, command: [sh, -c, '%s']}
"""


def test_exit_75_is_tried_again_with_growing_waits(ran: Ran, tmp_path: Path) -> None:
    """A step that ends with 75 twice succeeds at the third try; the second wait is twice the first."""
    count = tmp_path / "count"
    do = f"echo x >> {count}; test $(wc -l < {count}) = 3 || exit 75"
    result = ran(dag("{name: a, template: flaky}", templates=RETRY % do))
    step = result.step("a")
    assert (step.status, step.attempts, step.exit_code) == (StepStatus.SUCCEEDED, 3, 0)
    assert step.took
    assert step.took.total_seconds() >= 0.2 + 0.4


def test_exit_75_gives_up_after_its_limit(ran: Ran) -> None:
    """Two more tries, then a fault that says so."""
    step = ran(dag("{name: a, template: flaky}", templates=RETRY % "exit 75")).step("a")
    assert (step.status, step.attempts, step.exit_code) == (StepStatus.FAILED, 3, 75)


@pytest.mark.parametrize(("code", "status"), [(1, RunStatus.FAILED), (3, RunStatus.REFUSED)])
def test_any_other_exit_is_not_tried_again(ran: Ran, code: int, status: RunStatus) -> None:
    """A fault and a refusal end at the first try."""
    result = ran(dag("{name: a, template: flaky}", templates=RETRY % f"exit {code}"))
    assert (result.status, result.step("a").attempts) == (status, 1)


def test_a_refusal_ends_the_run_as_refused_with_its_reasons(ran: Ran) -> None:
    """Exit 3 with a verdict: nothing after it runs, and the verdict's reasons are the run's."""
    verdict = Verdict.judge("accuracy", "m", ["recall 0.7 under 0.8"], otherwise="fine").to_json().replace("\n", " ")
    gate = """\
  - name: gate
    outputs: {artifacts: [{name: verdict, path: /step/out/verdict}]}
    container: {image: x, command: [sh, -c, 'printf %s "$0" > /step/out/verdict; exit 3', '{{workflow.parameters.v}}']}
"""
    spec = "arguments: {parameters: [{name: v}]}"
    rest = dag("{name: a, template: gate}", sh("b", "true", ", depends: a"), templates=gate, spec=spec)
    result = ran(rest, parameters={"v": verdict})
    assert (result.status, result.exit_code) == (RunStatus.REFUSED, 3)
    assert result.refused is not None
    assert (result.refused.name, result.refused.reasons) == ("a", ("recall 0.7 under 0.8",))
    assert result.step("b").status is StepStatus.OMITTED


def test_a_fault_stops_what_has_not_begun_and_lets_the_rest_end(ran: Ran) -> None:
    """After a fault running steps end as they would, and nothing new begins."""
    result = ran(dag(sh("a", "exit 9"), sh("b", "sleep 0.4"), sh("c", "true", ", depends: b")), max_parallel=2)
    found = {step.name: step.status for step in result.steps}
    assert found == {"a": StepStatus.FAILED, "b": StepStatus.SUCCEEDED, "c": StepStatus.OMITTED}
    assert result.step("a").reasons == ("exit code 9: no output",)


@pytest.mark.parametrize(("do", "said"), [("true", "Succeeded"), ("exit 1", "Failed")])
def test_on_exit_runs_whatever_happened(ran: Ran, do: str, said: str) -> None:
    """The exit handler learns how the run ended, and runs anew when the run goes on."""
    bye = "  - {name: bye, container: {image: x, command: [echo, '{{workflow.status}}']}}\n"
    rest = dag(sh("a", do), templates=bye, spec="onExit: bye")
    results = [ran(rest), ran(rest)]
    assert [result.step("bye").reused for result in results] == [False, False]
    assert results[0].step("bye").log.read_text() == f"{said}\n"


def test_a_step_past_its_limit_is_ended(ran: Ran) -> None:
    """An activeDeadlineSeconds ends a step and everything it started."""
    slow = "  - {name: slow, activeDeadlineSeconds: '1', container: {image: x, command: [sh, -c, 'sleep 60 & wait']}}\n"
    step = ran(dag("{name: a, template: slow}", templates=slow)).step("a")
    assert step.reasons == ("ended after its limit of 1 s (activeDeadlineSeconds)",)
    assert step.took
    assert step.took.total_seconds() < 5


def test_places_come_by_the_config_map_only(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that names the ConfigMap gets the runner's places; one that does not gets none, not even ours."""
    monkeypatch.setenv("CHEXPERT_OBJECTS", "ours")
    show = "command: [sh, -c, 'echo objects=$CHEXPERT_OBJECTS']"
    templates = (
        f"  - {{name: with, container: {{image: x, {show}, envFrom: [{{configMapRef: {{name: chexpert}}}}]}}}}\n"
        f"  - {{name: without, container: {{image: x, {show}}}}}\n"
    )
    rest = dag("{name: a, template: with}", "{name: b, template: without}", templates=templates)
    result = ran(rest, places=Places(objects="theirs"))
    assert [result.step(name).log.read_text() for name in "ab"] == ["objects=theirs\n", "objects=\n"]


def test_parameters_are_checked(ran: Ran) -> None:
    """An unknown parameter and a missing one are refused before anything runs."""
    rest = dag(sh("a", "true"), spec="arguments: {parameters: [{name: source}]}")
    with pytest.raises(InputError, match="needs a value for source"):
        ran(rest)
    with pytest.raises(InputError, match="has no parameter 'sauce'; it has: source"):
        ran(rest, parameters={"source": "x", "sauce": "y"})


def test_commands_from_outside_replace_a_templates_own(ran: Ran) -> None:
    """The seam for planted faults: a known template's command is replaced, an unknown name is refused."""
    assert (
        ran(dag(sh("a", "exit 1")), commands={"sh": ["echo", "{{workflow.name}}"]}).step("a").log.read_text() == "run\n"
    )
    with pytest.raises(InputError, match="'nobody'"):
        ran(dag(sh("a", "true")), commands={"nobody": ["true"]})


def test_progress_is_told_as_it_happens(ran: Ran) -> None:
    """A watcher sees a step wait, run and end, with the progress it wrote in Argo's own format."""
    seen: list[StepResult] = []
    do = "echo 1/4 > $ARGO_PROGRESS_FILE; sleep 0.4"
    ran(dag(sh("a", do)), progress=seen.extend)
    assert [status for status, _ in itertools.groupby(step.status for step in seen)] == [
        StepStatus.RUNNING,
        StepStatus.SUCCEEDED,
    ]
    assert (1, 4) in {(step.done, step.total) for step in seen if step.status is StepStatus.RUNNING}
