"""`continuous-x` on the Argo Workflows controller: from images to a pull request, a refusal, a killed pod."""

import json
import time
from pathlib import Path

import pytest

from chexpert.testing.wrong_labels import permute_labels
from cluster_harness.kube import until
from cluster_harness.table import Facts
from cluster_harness.world import Promoted, World

pytestmark = [pytest.mark.timeout(1500)]

REFUSED = 3
_KILL = """
import os, pathlib, signal
for place in pathlib.Path("/proc").glob("[0-9]*"):
    if place.name != "1" and b"/step/out" in (place / "cmdline").read_bytes() and int(place.name) != os.getpid():
        os.kill(int(place.name), signal.SIGKILL)
"""


def test_it_ends_with_a_pull_request_for_production(world: World, second: Promoted, facts: Facts) -> None:
    """Its branch on the Git host carries the bundle's address and digest, and its message the reasons."""
    branch = f"promote/production/{second.version}"
    assert branch in world.git.branches()
    text = world.git.git("show", f"origin/{branch}:{world.production.path}")
    assert second.uri in text
    body = world.git.git("log", "-1", "--format=%B", f"origin/{branch}")
    facts.saw(3, f"pull request {branch}", body.splitlines()[0])


@pytest.mark.usefixtures("workflows", "models", "first")
def test_a_refusal_stops_it_with_the_verdict_visible(
    world: World, phantoms: Path, tmp_path: Path, facts: Facts
) -> None:
    """Labels that belong to other images: evaluate refuses, nothing follows, `watch` exits 3 with the reasons."""
    wrong = tmp_path / "wrong"
    permute_labels(phantoms, wrong)
    ran = world.chexpert("data", "upload", str(wrong), "s3://chexpert/wrong")
    assert ran.code == 0, ran.output
    run = world.submit("continuous-x", source="s3://chexpert/wrong", epochs="1", profile="phantom")
    watched = world.watch(run)
    assert watched.code == REFUSED, watched.output
    verdict = json.loads(world.read_object("verdicts", run, "evaluate.json"))
    assert verdict["passed"] is False
    steps = {node["displayName"].split("(")[0]: node["phase"] for node in world.nodes(run)}
    assert steps["evaluate"] == "Failed"
    assert not steps.keys() & {"optimise", "register", "stage", "load-test", "propose"}
    assert verdict["reasons"][0] in " ".join(watched.output.split())
    facts.saw(3, "labels of other images", f"refused at evaluate: {verdict['reasons'][0][:150]}; watch exits 3")


@pytest.mark.usefixtures("workflows", "phantoms")
def test_a_killed_pod_is_tried_again_only_where_it_is_marked(world: World, facts: Facts) -> None:
    """A pod that was deleted is tried again where that is marked; a step that fails or is shot (137) is not."""
    run = world.submit("continuous-x", source="s3://chexpert/nowhere", epochs="1")
    watched = world.watch(run, seconds=300)
    assert watched.code == 1, watched.output
    tries = [node for node in world.nodes(run) if node["displayName"].startswith("ingest")]
    facts.saw(3, "a step that fails with exit 1 (no such source)", f"{len(tries)} try")
    assert len(tries) == 1

    run = world.submit("continuous-x", source="s3://chexpert/uploads", epochs="20")
    namespace = world.namespaces["platform"]
    drained = until("a training pod", 120, lambda: _running(world, run, "train-cnn"), every=0.3)
    world.kube.kubectl("delete", "pod", drained, "-n", namespace, "--wait=false")
    until("a second try", 90, lambda: len(_tries(world, run, "train-cnn")) > 1)
    facts.saw(3, "a training pod deleted", "; ".join(_tries(world, run, "train-cnn")))
    shot = until("the other training pod", 120, lambda: _running(world, run, "train-vit"), every=0.3)
    world.kube.execute(namespace, shot, "python", "-c", _KILL, container="main")
    until("its end", 60, lambda: "train-vit Failed" in _tries(world, run, "train-vit", "Retry"))
    facts.saw(3, "a training process shot (SIGKILL)", "; ".join(_tries(world, run, "train-vit")))
    assert len(_tries(world, run, "train-vit")) == 1
    world.kube.delete("workflow", run, namespace=namespace)


def _tries(world: World, run: str, step: str, kind: str = "Pod") -> list[str]:
    nodes = world.nodes(run, kind)
    return sorted(f"{n['displayName']} {n['phase']}" for n in nodes if n["displayName"].startswith(step))


def _running(world: World, run: str, step: str) -> str:
    for node in world.nodes(run):
        if node["displayName"].startswith(step) and node["phase"] == "Running":
            for pod in world.kube.pods(world.namespaces["platform"], f"workflows.argoproj.io/workflow={run}"):
                states = {c["name"]: c["state"] for c in pod["status"].get("containerStatuses", [])}
                ours = pod["metadata"]["annotations"].get("workflows.argoproj.io/node-id") == node["id"]
                # Argo makes a pod anew, without a try, that goes before its main container has started.
                if ours and "running" in states.get("main", {}):
                    time.sleep(8)  # until the step has imported what it needs, and listens to SIGTERM
                    return str(pod["metadata"]["name"])
    return ""
