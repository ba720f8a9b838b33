"""The variants of an evaluated model, compared on a manifest's images, and the bundle of each."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from chexpert.bundle import reference
from chexpert.bundle.card import MODEL, REFERENCE, Card, OperatingPoint
from chexpert.bundle.store import BundleRef, write
from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.domain.observations import Observation
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks import store
from chexpert.optimise.choice import VariantComparison, VariantRow
from chexpert.optimise.settings import VariantSettings
from chexpert.optimise.variants import Images, compare
from chexpert.pipeline.images import sample, statistics_of
from chexpert.pipeline.provenance import git_commit

__all__ = ["ROWS", "Evaluated", "read_evaluation"]

ROWS = 2000
"""Evaluation images the variants are compared on and the reference is made of."""
_OF_EVALUATION: Final = ("model", "calibration", "operating_points", "metrics", "data_version")


def read_evaluation(path: Path) -> dict[str, Any]:
    """What the step `evaluate` wrote; UnreadableData where it is something else."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text at all
        raise UnreadableData(str(path), reason=f"not what the step `evaluate` wrote: {error}") from error
    if missing := [key for key in _OF_EVALUATION if not isinstance(facts, dict) or key not in facts]:
        raise UnreadableData(str(path), reason=f"not what the step `evaluate` wrote: {', '.join(missing)} are missing")
    return dict(facts)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model as the step `evaluate` hands it on, with the images it was evaluated on."""

    evaluation: Mapping[str, Any]
    manifest: Manifest
    shards: Shards
    most: int = ROWS
    """Evaluation images that are used, at most."""

    def compare(self, folder: Path, settings: VariantSettings) -> VariantComparison:
        """Export, measure and judge; the graphs are written into `folder`. Static int8 is calibrated on tune images.

        Raises:
            BrokenModel, MissingPixels, WrongCalibration, NotExportable, NoCalibrationImages: What could not be read
                or exported.
        """
        rows = self._rows()
        seen = self.shards.find(self.manifest.column("sha256")[rows])
        tuning = sample(self.manifest.rows("tune"), settings.calibration_images)
        return compare(
            store.load(self.evaluation["model"]["uri"]),
            Platt.from_dict(self.evaluation["calibration"]),
            self._spec,
            Images(
                pixels=lambda part: self.shards.take(seen[part]),
                labels=self.manifest.labels()[rows],
                patients=self.manifest.column("patient")[rows],
                calibration=self.shards.take(self.shards.find(self.manifest.column("sha256")[tuning])),
            ),
            thresholds={o: point.threshold for o, point in self._points.items()},
            folder=folder,
            subject=self.evaluation["model"]["digest"],
            settings=settings,
        )

    def bundle(self, row: VariantRow, root_uri: str) -> BundleRef:
        """Write the bundle of one variant that `compare` measured below `root_uri`; its scores are the reference."""
        card = Card(
            preprocess=self._spec,
            operating_points=self._points,
            data_version=self.evaluation["data_version"],
            git_commit=git_commit(),
            metrics=self.evaluation["metrics"],
            variant=row.facts(),
            network={
                **asdict(store.load(self.evaluation["model"]["uri"]).settings),
                "digest": self.evaluation["model"]["digest"],
            },
        )
        seen = statistics_of(self.manifest, self._rows())
        files = {MODEL: row.path.read_bytes(), REFERENCE: reference.encode(row.scores, seen)}
        return write(root_uri, card, files)

    @property
    def _spec(self) -> PreprocessSpec:
        return PreprocessSpec(size=self.shards.size)

    @property
    def _points(self) -> dict[Observation, OperatingPoint]:
        points = self.evaluation["operating_points"]
        return {Observation(name): OperatingPoint(**point) for name, point in points.items()}

    def _rows(self) -> Any:
        return sample(self.manifest.rows("valid"), self.most)
