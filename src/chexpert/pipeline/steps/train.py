"""Train: one network on the training split, its run recorded."""

import json
import platform
from dataclasses import replace

from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.networks.settings import NetworkSettings
from chexpert.pipeline.provenance import git_commit, versions
from chexpert.pipeline.step import StepContext
from chexpert.registry.tracking import Tracker
from chexpert.training.fit import fit
from chexpert.training.settings import recipe

__all__ = ["run"]


def run(context: StepContext) -> None:
    """Fit, and say where the weights lie."""
    manifest = Manifest.read(str(context.input("manifest")))
    shards = Shards.open(json.loads(context.input("shards").read_text())["uri"])
    network = NetworkSettings(name=context.parameter("network"), image_size=shards.size)
    settings = replace(recipe(network.name), seed=int(context.parameter("seed")))
    if epochs := int(context.parameter("epochs")):
        settings = replace(settings, epochs=epochs)
    tags = {
        "pipeline run": context.run,
        "data version": manifest.digest,
        "git commit": git_commit(),
        "machine": platform.platform(),
        **versions(),
    }
    tracker = Tracker(context.places.need("tracking"))
    with tracker.run(experiment="training", name=f"{context.run}/{network.name}", tags=tags) as run_:
        trained = fit(
            manifest,
            shards,
            settings,
            network,
            output_uri=context.places.object("models"),
            tracker=run_,
            progress=lambda step: context.progress(step.done, step.total),
        )
    facts = {
        "uri": trained.uri,
        "digest": trained.digest,
        "network": network.name,
        "run_id": run_.run_id,
        "metrics": dict(trained.metrics),
    }
    context.output("model").write_text(json.dumps(facts, indent=2), encoding="utf-8")
