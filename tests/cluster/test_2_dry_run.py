"""The API server itself, with the real CRDs and webhooks, takes everything we commit and refuses what is wrong."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from cluster_harness.installing import KINDS
from cluster_harness.kube import CommandFailed
from cluster_harness.table import Facts
from cluster_harness.world import ROOT, World

Planted = tuple[str, str, Callable[[dict[str, Any]], None], str]
"""Kind, what is wrong, how to make it so, and the word that the refusal must have."""
pytestmark = pytest.mark.timeout(300)


def test_every_manifest_passes_a_server_side_dry_run(world: World, facts: Facts) -> None:
    """Chart, kustomizations of models and workflows, and Argo CD's Applications with all parts."""
    seen = 0
    for thing in _everything(world):
        if not _served(world, thing):
            continue
        world.kube.kubectl(
            "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(thing)
        )
        seen += 1
    assert seen > 40
    facts.saw(2, "objects that passed a server-side dry run", seen)


def _planted() -> Iterator[Planted]:
    def unknown(thing: dict[str, Any]) -> None:
        thing["spec"]["predictor"]["modle"] = {}

    def nameless(thing: dict[str, Any]) -> None:
        thing["spec"]["predictor"] |= {"name": "v1", "minReplicas": 1}
        thing["spec"]["predictor"]["model"]["storageUri"] = "s3://chexpert/bundles/x"
        entry = copy.deepcopy(thing["spec"]["predictor"])
        del entry["name"]
        thing["spec"]["canary"] = [{"trafficPercent": 10, "predictor": entry}]

    def entrypoint(thing: dict[str, Any]) -> None:
        thing["spec"]["entrypointt"] = "x"

    yield "InferenceService", "an unknown field", unknown, "modle"
    yield "InferenceService", "a canary without a name", nameless, "name"
    yield "WorkflowTemplate", "an unknown field", entrypoint, "entrypointt"


@pytest.mark.parametrize("planted", list(_planted()), ids=lambda planted: f"{planted[0]}, {planted[1]}")
def test_a_wrong_field_is_refused_by_name(world: World, facts: Facts, planted: Planted) -> None:
    """One planted mistake each; the answer names it."""
    kind, what, plant, named = planted
    good = next(thing for thing in _everything(world) if thing["kind"] == kind)
    if not _served(world, good):
        pytest.skip(f"this cluster serves no {kind}")
    bad = copy.deepcopy(good)
    plant(bad)
    with pytest.raises(CommandFailed) as refused:
        world.kube.kubectl(
            "apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(bad)
        )
    assert named in refused.value.output
    facts.saw(2, f"{kind} with {what}", f"refused: {refused.value.output.strip().splitlines()[-1][:160]}")


def _everything(world: World) -> Iterator[dict[str, Any]]:
    names = world.namespaces
    small = str(ROOT / "charts/chexpert/values/small.yaml")
    values = str(world.folder / "values.yaml")
    yield from _documents(
        world.kube.run(
            "helm",
            "template",
            "chexpert",
            str(ROOT / "charts/chexpert"),
            "-n",
            names["platform"],
            "-f",
            small,
            "-f",
            values,
        ),
        names["platform"],
    )
    for folder, namespace in (
        ("kserve/staging", "staging"),
        ("kserve/production", "production"),
        ("argo/workflows", "platform"),
    ):
        yield from _documents(world.kube.kubectl("kustomize", str(ROOT / folder)), names[namespace], move=True)
    platform = str(ROOT / "argo/cd/platform")
    address = ["--set", "repoURL=https://git.example.org/chexpert.git"]
    yield from _documents(
        world.kube.run("helm", "template", "chexpert-platform", platform, "-n", "argocd", *address), "argocd"
    )
    yield from _documents((ROOT / "argo/cd/root.yaml").read_text(), "argocd")


def _documents(text: str, namespace: str, *, move: bool = False) -> Iterator[dict[str, Any]]:
    for thing in yaml.safe_load_all(text):
        if thing:
            if move or "namespace" not in thing["metadata"]:
                thing["metadata"]["namespace"] = namespace
            if thing["kind"] == "Namespace":
                thing["metadata"].pop("namespace")
            yield thing


def _served(world: World, thing: dict[str, Any]) -> bool:
    group = thing["apiVersion"].split("/")[0]
    if group not in {"argoproj.io", "serving.kserve.io"}:
        return True
    kinds = {
        "serving.kserve.io": KINDS["kserve"],
        "argoproj.io": KINDS["argocd"] if thing["kind"] in {"Application", "AppProject"} else KINDS["argo"],
    }
    return world.kube.has(kinds[group])
