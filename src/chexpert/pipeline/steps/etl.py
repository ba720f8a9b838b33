"""ETL: what ingest does, shared out over many pods by shards. A killed pod costs one shard, and none is made twice."""

import json

from chexpert.data import shards
from chexpert.data.manifest import Manifest
from chexpert.domain.verdicts import Verdict
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.pipeline.ingestion import Delivery, finish, receive
from chexpert.pipeline.step import StepContext

__all__ = ["join", "plan", "shard"]


def plan(context: StepContext) -> None:
    """Read the delivery; write its manifest, where its shards go, and the list of their numbers."""
    delivery = receive(context, int(context.parameter("capacity")))
    delivery.manifest.write(str(context.output("manifest")))
    facts = {"root": delivery.root, "preprocess": delivery.spec.to_dict(), "capacity": delivery.capacity}
    context.output("plan").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    numbers = list(range(shards.count(delivery.manifest, capacity=delivery.capacity)))
    context.output("numbers").write_text(json.dumps(numbers), encoding="utf-8")
    context.progress(1, 1, f"{len(delivery.manifest)} images, {len(numbers)} shards at {delivery.shards}")


def shard(context: StepContext) -> None:
    """Decode the images of one shard, if that has not been done."""
    delivery = _planned(context)
    number = int(context.parameter("number"))
    # One process: the fan-out already fills the machines.
    shards.build_part(
        delivery.manifest,
        number,
        delivery.shards,
        delivery.spec,
        workers=1,
        progress=context.progress,
        capacity=delivery.capacity,
    )


def join(context: StepContext) -> Verdict:
    """Put all shards under one index; write what ingest writes, and judge as it does."""
    delivery = _planned(context)
    joined = shards.join(delivery.manifest, delivery.shards, delivery.spec, capacity=delivery.capacity)
    return finish(context, delivery.root, joined.manifest, (joined.uri, joined.digest), joined.refusals)


def _planned(context: StepContext) -> Delivery:
    facts = json.loads(context.input("plan").read_text())
    manifest = Manifest.read(str(context.input("manifest")))
    return Delivery(manifest, PreprocessSpec.from_dict(facts["preprocess"]), facts["capacity"], facts["root"])
