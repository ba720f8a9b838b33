"""What ingest does in one process and etl-plan, etl-shard and etl-join do in many: from a delivery to training data."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chexpert.data import increments, objects, sources
from chexpert.data.errors import Refusal
from chexpert.data.increments import Increment
from chexpert.data.manifest import Manifest
from chexpert.data.shard_files import CAPACITY
from chexpert.data.splits import SPLITS
from chexpert.domain.digests import of_value
from chexpert.domain.events import FEEDBACK_PREFIX
from chexpert.domain.verdicts import Verdict
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.pipeline.images import sample
from chexpert.pipeline.step import StepContext

__all__ = ["LATEST", "Delivery", "finish", "receive"]

LATEST: Final = "latest.json"
"""Object under data/ that names the last ingest's shards: a hint that saves time, never a source of truth."""
REFUSED_SHARE_MAX: Final = 0.05
"""More unreadable files than this mean that something is wrong with the delivery, not with a file."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to become training data."""

    manifest: Manifest
    spec: PreprocessSpec
    capacity: int
    """Images per shard."""
    root: str
    """URI of the folder of manifest and shards, by the digest of what decides their bytes."""

    @property
    def shards(self) -> str:
        """URI of the folder of shards."""
        return objects.child(self.root, "shards")


def receive(context: StepContext, capacity: int = CAPACITY) -> Delivery:
    """Read source, limit, feedback and size; write the artifact `increment`, and tell what is left out.

    Shards of another capacity than the usual one lie elsewhere, so that neither overwrites the other.

    Raises:
        UnreadableData: what is wrong with the source.
    """
    spec = PreprocessSpec(size=int(context.parameter("size")))
    manifest, apart = sources.read(context.parameter("source"))
    if limit := int(context.parameter("limit")):
        kept = [sample(rows, limit) if split == "train" else rows for split, rows in _rows(manifest)]
        manifest = manifest.select(np.sort(np.concatenate(kept)))
    feedback = context.parameter("feedback") or context.places.object(FEEDBACK_PREFIX)
    manifest, increment = increments.extend(manifest, feedback)
    _tell(context, apart, increment)
    context.output("increment").write_text(json.dumps(asdict(increment), indent=2), encoding="utf-8")
    digest = of_value([manifest.digest, spec.digest, *([] if capacity == CAPACITY else [capacity])])
    return Delivery(manifest, spec, capacity, context.places.object("data", digest))


def finish(
    context: StepContext, root: str, kept: Manifest, pixels: tuple[str, str], refused: Sequence[Refusal]
) -> Verdict:
    """Write manifest and shards' address, as artifacts and as objects, and judge what can be trained and judged on.

    Args:
        context: of the step.
        root: of the delivery.
        kept: the manifest without refused rows.
        pixels: URI and digest of the shards.
        refused: one for each row left out.
    """
    for refusal in refused:
        context.progress(0, 0, str(refusal))
    uri, digest = pixels
    kept.write(str(context.output("manifest")))
    kept.write(objects.child(root, "manifest.parquet"))
    objects.write_bytes(context.places.object("data", LATEST), json.dumps({"uri": uri}).encode())
    context.output("shards").write_text(json.dumps({"uri": uri, "digest": digest}, indent=2), encoding="utf-8")
    verdict = _judge(kept, len(refused))
    context.publish(verdict)
    return verdict


def _tell(context: StepContext, apart: Sequence[Refusal], increment: Increment) -> None:
    for refusal in apart:
        context.progress(0, 0, str(refusal))
    for refused in increment.refused:
        context.progress(0, 0, f"not a training label: {refused}")


def _rows(manifest: Manifest) -> Iterator[tuple[str, NDArray[np.int64]]]:
    for split in SPLITS:
        yield split, manifest.rows(split)


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
