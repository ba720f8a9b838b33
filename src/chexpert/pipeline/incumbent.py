"""The incumbent: what an environment's file in git names as its stable version."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chexpert.bundle.sessions import open_session
from chexpert.bundle.store import Bundle, fetch
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.domain.places import Places
from chexpert.gitops.promotion_request import GitOpsSettings, connect
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.pipeline.images import pixels_of
from chexpert.serving.isvc import ServedVersion, parse

__all__ = ["Incumbent", "find"]

BATCH = 256


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The served version and its verified bundle."""

    served: ServedVersion
    bundle: Bundle

    def scores(
        self, manifest: Manifest, rows: NDArray[np.int64], shards: Shards, spec: PreprocessSpec
    ) -> NDArray[np.float32]:
        """(n, 14) calibrated scores for rows of the manifest, by the incumbent's own preprocessing."""
        own = self.bundle.card.preprocess
        same = own.digest == spec.digest
        pixels = shards.take(shards.find(manifest.column("sha256")[rows])) if same else pixels_of(manifest, rows, own)
        session = open_session(self.bundle)
        return np.concatenate([session.run(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)])


def find(environment: str, places: Places, *, settings: GitOpsSettings | None = None) -> Incumbent | None:
    """The stable version of an environment, or None while it has no model."""
    settings = settings or GitOpsSettings()
    path = settings.file(environment)
    with connect(places, settings) as (repository, _):
        text = repository.read(path)
    served = parse(text, where=f"{places.gitops}:{path}").stable if text else None
    if served is None:
        return None
    cache = Path(tempfile.gettempdir()) / "chexpert-bundles"
    return Incumbent(served, fetch(served.storage_uri, served.digest, cache))
