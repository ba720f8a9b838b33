"""A run as its Workflow object tells it."""

import base64
import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chexpert.cluster.errors import NodesElsewhere
from chexpert.cluster.runs import Run, parse

START = "2026-05-01T12:00:00Z"


def node(name: str, phase: str, kind: str = "Pod", *, code: int | None = None, **more: Any) -> dict[str, Any]:
    outputs = {"outputs": {"exitCode": str(code)}} if code is not None else {}
    names = {"id": f"run-{name}", "name": f"run.{name}", "displayName": name, "templateName": name.partition("(")[0]}
    return {**names, "type": kind, "phase": phase, "startedAt": START, **outputs, **more}


def run(phase: str, *nodes: Mapping[str, Any], **status: Any) -> Run:
    by_id = {one["id"]: one for one in nodes}
    return parse({"metadata": {"name": "run"}, "status": {"phase": phase, "nodes": by_id, **status}})


@pytest.mark.parametrize(
    ("phase", "codes", "expected"),
    [
        ("Succeeded", (0, 0), ("succeeded", 0)),
        ("Failed", (0, 3), ("refused", 3)),
        ("Failed", (1, 0), ("failed", 1)),
        ("Failed", (1, 3), ("failed", 1)),
        ("Error", (0, 0), ("failed", 1)),
        ("Running", (0, 3), ("running", 0)),
    ],
)
def test_a_run_ends_as_its_containers_did(phase: str, codes: tuple[int, int], expected: tuple[str, int]) -> None:
    """3 only where gates alone refused; a fault outweighs a refusal, as on one machine."""
    nodes = [node(f"s{n}", "Failed" if code else "Succeeded", code=code) for n, code in enumerate(codes)]
    found = run(phase, node("dag", phase, "DAG"), *nodes)
    assert (found.outcome, found.exit_code) == expected
    assert [step.name for step in found.steps] == ["s0", "s1"]


def test_the_tries_of_a_step_are_one_row() -> None:
    """The last try's exit code and pod, the number of tries; what was retried to success has not failed."""
    tries = [node("train(0)", "Failed", code=75), node("train(1)", "Succeeded", code=0)]
    retry = node(
        "train", "Succeeded", "Retry", children=[one["id"] for one in tries], finishedAt="2026-05-01T12:01:00Z"
    )
    (step,) = run("Succeeded", *tries, retry).steps
    assert (step.name, step.tries, step.exit_code, step.phase) == ("train", 2, 0, "Succeeded")
    assert (step.node, step.pod) == ("run-train(1)", "run-train-train(1)")
    assert step.took(datetime.now(UTC)) == timedelta(minutes=1)


def test_steps_that_never_began_stand_last() -> None:
    """Omitted ones have neither time nor tries."""
    found = run("Failed", node("late", "Omitted", "Skipped"), node("first", "Failed", code=3))
    assert [step.name for step in found.steps] == ["first", "late"]
    assert found.steps[1].took(datetime.now(UTC)) is None
    assert found.exit_code == 3


def test_steps_of_a_large_run_are_unpacked() -> None:
    """Argo packs the nodes above 1 MB; those it puts into its database are the server's to read."""
    nodes = {"run-a": node("a", "Succeeded", code=0)}
    packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    assert [step.name for step in run("Succeeded", compressedNodes=packed).steps] == ["a"]
    with pytest.raises(NodesElsewhere, match="ARGO_SERVER"):
        run("Succeeded", offloadNodeStatusVersion="fnv:1")


def test_a_run_nobody_has_seen_yet_is_pending() -> None:
    """Before the controller looks there is no status."""
    found = parse({"metadata": {"name": "run"}})
    assert (found.outcome, found.ended, found.steps) == ("pending", False, ())
