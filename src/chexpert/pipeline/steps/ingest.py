"""Ingest: images and labels become one manifest and uint8 shards, with the labels that readers gave since."""

import json
import os

from chexpert.data import objects, shards
from chexpert.domain.errors import InputError
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.ingestion import LATEST, finish, receive
from chexpert.pipeline.step import StepContext

__all__ = ["run"]


def run(context: StepContext) -> Verdict:
    """Write manifest, shards' address and the increment; refuse data that cannot be trained and judged on."""
    delivery = receive(context)
    manifest, pixels, refusals = shards.build(
        delivery.manifest,
        delivery.shards,
        delivery.spec,
        workers=os.cpu_count() or 1,
        progress=context.progress,
        reuse=_earlier(context),
    )
    return finish(context, delivery.root, manifest, (pixels.uri, pixels.digest), refusals)


def _earlier(context: StepContext) -> shards.Shards | None:
    """The last ingest's shards: most images of a retraining are in them, and are copied instead of decoded again."""
    latest = context.places.object("data", LATEST)
    if not objects.exists(latest):
        return None
    uri = json.loads(objects.read_bytes(latest))["uri"]
    try:
        return shards.Shards.open(uri)
    except (OSError, InputError):
        return None
