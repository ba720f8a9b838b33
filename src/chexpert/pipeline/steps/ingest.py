"""Ingest: images and labels become one manifest and uint8 shards, with the labels that readers gave since."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chexpert.data import increments, objects, shards, sources
from chexpert.data.manifest import Manifest
from chexpert.data.splits import SPLITS
from chexpert.domain.digests import of_value
from chexpert.domain.errors import InputError
from chexpert.domain.events import FEEDBACK_PREFIX
from chexpert.domain.verdicts import Verdict
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.pipeline.images import sample
from chexpert.pipeline.step import StepContext

__all__ = ["run"]

LATEST = "latest.json"
"""Object under data/ that names the last ingest's shards: a hint that saves time, never a source of truth."""
REFUSED_SHARE_MAX = 0.05
"""More unreadable files than this mean that something is wrong with the delivery, not with a file."""


def run(context: StepContext) -> Verdict:
    """Write manifest, shards' address and the increment; refuse data that cannot be trained and judged on."""
    spec = PreprocessSpec(size=int(context.parameter("size")))
    manifest, apart = sources.read(context.parameter("source"))
    if limit := int(context.parameter("limit")):
        kept = [sample(rows, limit) if split == "train" else rows for split, rows in _rows(manifest)]
        manifest = manifest.select(np.sort(np.concatenate(kept)))
    feedback = context.parameter("feedback") or context.places.object(FEEDBACK_PREFIX)
    manifest, increment = increments.extend(manifest, feedback)
    root = context.places.object("data", of_value([manifest.digest, spec.digest]))
    manifest, pixels, refusals = shards.build(
        manifest,
        f"{root}/shards",
        spec,
        workers=os.cpu_count() or 1,
        progress=context.progress,
        reuse=_earlier(context),
    )
    for refusal in (*apart, *refusals):
        context.progress(0, 0, str(refusal))
    for refused in increment.refused:
        context.progress(0, 0, f"not a training label: {refused}")
    manifest.write(str(context.output("manifest")))
    manifest.write(f"{root}/manifest.parquet")
    objects.write_bytes(context.places.object("data", LATEST), json.dumps({"uri": pixels.uri}).encode())
    _write(context.output("shards"), {"uri": pixels.uri, "digest": pixels.digest})
    _write(context.output("increment"), asdict(increment))
    verdict = _judge(manifest, len(refusals))
    context.publish(verdict)
    return verdict


def _rows(manifest: Manifest) -> Iterator[tuple[str, NDArray[np.int64]]]:
    for split in SPLITS:
        yield split, manifest.rows(split)


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


def _judge(manifest: Manifest, refused: int) -> Verdict:
    counts = {split: len(rows) for split, rows in _rows(manifest)}
    failures = [f"no image in the {split} split" for split, count in counts.items() if count == 0]
    total = len(manifest) + refused
    if refused > REFUSED_SHARE_MAX * total:
        failures.append(f"{refused} of {total} files are unreadable, over {REFUSED_SHARE_MAX:.0%}")
    return Verdict.judge(
        "data",
        manifest.digest,
        failures,
        otherwise=f"{len(manifest)} images, {refused} files refused",
        evidence=[{"split": split, "images": count} for split, count in counts.items()],
        thresholds={"refused_share_max": REFUSED_SHARE_MAX},
        inputs_digest=manifest.digest,
    )


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
