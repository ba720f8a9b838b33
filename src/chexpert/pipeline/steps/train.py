"""Train: one network on the training split, its run recorded; in one process, or in those that torchrun started."""

import json
import platform
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from chexpert.data import objects
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.networks.settings import NetworkSettings
from chexpert.pipeline.provenance import git_commit, versions
from chexpert.pipeline.step import StepContext
from chexpert.registry.tracking import Tracker
from chexpert.training import processes
from chexpert.training.fit import fit
from chexpert.training.settings import recipe

__all__ = ["distributed", "run"]


def run(context: StepContext) -> None:
    """Fit, and say where the weights lie."""
    manifest = Manifest.read(str(context.input("manifest")))
    shards = Shards.open(json.loads(context.input("shards").read_text())["uri"])
    facts = _fit(context, manifest, shards, {})
    context.output("model").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def distributed(context: StepContext) -> None:
    """Fit as one of several processes; inputs and the result are objects, and a result that exists is kept.

    The result is that of `run`, written by the first process once all have ended their work.
    """
    result = context.parameter("result") or context.places.object("trained", f"{context.run}.json")
    if objects.exists(result):
        context.progress(1, 1, f"{result} is there already")
        return
    manifest = Manifest.read(context.parameter("manifest"))
    shards = Shards.open(context.parameter("shards"))
    batch = int(context.parameter("batch"))
    precision = {"precision": context.parameter("precision")}
    facts = _fit(
        context,
        manifest,
        shards,
        {**precision, "batch": batch} if batch else precision,
        checkpoints_uri=context.parameter("checkpoints"),
    )
    if processes.place()[0] == 0:
        objects.write_bytes(result, json.dumps(facts, indent=2).encode())
        context.progress(1, 1, f"{result}: {facts['uri']}")
    processes.wait()


def _fit(
    context: StepContext, manifest: Manifest, shards: Shards, changed: Mapping[str, Any], *, checkpoints_uri: str = ""
) -> dict[str, Any]:
    network = NetworkSettings(name=context.parameter("network"), image_size=shards.size)
    settings = replace(recipe(network.name), seed=int(context.parameter("seed")), **changed)
    if epochs := int(context.parameter("epochs")):
        settings = replace(settings, epochs=epochs)
    rank, world = processes.place()
    tags = {
        "pipeline run": context.run,
        "data version": manifest.digest,
        "git commit": git_commit(),
        "machine": platform.platform(),
        "processes": world,
        **versions(),
    }
    tracker = Tracker(context.places.need("tracking"))
    recorded = tracker.run(experiment="training", name=f"{context.run}/{network.name}", tags=tags)
    with recorded if rank == 0 else nullcontext() as run_:
        trained = fit(
            manifest,
            shards,
            settings,
            network,
            output_uri=context.places.object("models"),
            checkpoints_uri=checkpoints_uri,
            tracker=run_,
            progress=lambda step: context.progress(step.done, step.total, step.text),
        )
    return {
        "uri": trained.uri,
        "digest": trained.digest,
        "network": network.name,
        "run_id": run_.run_id if run_ is not None else "",
        "metrics": dict(trained.metrics),
    }
