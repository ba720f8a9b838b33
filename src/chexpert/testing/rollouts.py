"""A whole place to roll out in, for tests: real git, real objects, and logs written as the server writes them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from chexpert.bundle.store import BundleRef
from chexpert.domain.places import Places
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.gitops.body import BodyParts
from chexpert.gitops.promotion_request import connect, open_promotion
from chexpert.gitops.repository import seed
from chexpert.monitoring import reference
from chexpert.monitoring.drift import DriftSettings
from chexpert.monitoring.replay import ReplaySettings
from chexpert.pipeline.rollout import Merge, Profile, RolloutSettings, advance
from chexpert.serving.isvc import ServedFile, parse
from chexpert.testing import bundles
from chexpert.testing.logs import Behaviour, Population, write_part

__all__ = ["EMPTY_ENVIRONMENT", "HEALTHY", "NOON", "PATH", "RolloutSite"]

NOON: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
HEALTHY: Final = Behaviour()
PATH: Final = "kserve/production/inferenceservice.yaml"
EMPTY_ENVIRONMENT: Final = """\
# What production serves.
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: chexpert
  annotations:
    serving.kserve.io/deploymentMode: Standard
    serving.kserve.io/autoscalerClass: none
spec:
  predictor: {}
"""


@dataclass
class RolloutSite:
    """One environment, production, and its clock. All versions are twins of one bundle."""

    places: Places
    bundle: BundleRef
    settings: RolloutSettings
    now: datetime = NOON
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    @classmethod
    def create(cls, folder: Path, *, production: str = "http://127.0.0.1:9") -> Self:
        """An empty environment by the demo's settings, the driver merging; drift and replays are off.

        Args:
            folder: Where git and objects shall lie.
            production: Base URL of the predictor; by default nobody is there.
        """
        (folder / PATH).parent.mkdir(parents=True)
        (folder / PATH).write_text(EMPTY_ENVIRONMENT, encoding="utf-8")
        seed(folder / "gitops.git", folder / "kserve")
        objects = folder / "objects"
        places = Places(objects=str(objects), gitops=str(folder / "gitops.git"), production=production)
        settings = RolloutSettings.of(Profile.DEMO, merge=Merge.AUTO)
        quiet = replace(settings, drift=DriftSettings(alpha=0.0), replay=ReplaySettings(images=0))
        return cls(places, bundles.tiny(f"{objects}/bundles"), quiet)

    def propose(self, version: str) -> None:
        """Open the pull request of a version; all versions are twins of one bundle."""
        open_promotion(
            "production", version, self.bundle.uri, self.bundle.digest, BodyParts(), self.places, now=self.now
        )

    def advance(self, *, seconds: float = 1.0) -> TimelineEvent | None:
        """One step, some seconds later."""
        self.now += timedelta(seconds=seconds)
        return advance("production", self.settings, self.places, now=self.now)

    def stages(self, calls: int) -> list[Stage | None]:
        """What so many steps did."""
        return [event.stage if (event := self.advance()) else None for _ in range(calls)]

    def log(self, version: str, rows: int, behaviour: Behaviour = HEALTHY) -> tuple[str, ...]:
        """Answers over the next ten seconds, which pass."""
        expected = reference.read(self.bundle.uri)
        images = write_part(
            self.places.objects,
            version,
            Population(expected.scores, expected.statistics),
            behaviour,
            rows=rows,
            start=self.now + timedelta(seconds=2),
            seconds=8,
            rng=self.rng,
        )
        self.now += timedelta(seconds=10)
        return images

    def both(self, stable: str, rows: int, canary: str, canary_rows: int, behaviour: Behaviour = HEALTHY) -> None:
        """Answers of both over the same ten seconds."""
        start = self.now
        self.log(stable, rows)
        self.now = start
        self.log(canary, canary_rows, behaviour)

    def served(self) -> ServedFile:
        """What git says."""
        return parse(self.text(), where=PATH)

    def text(self) -> str:
        """The file in git."""
        with connect(self.places, self.settings.gitops) as (repository, _):
            return repository.read(PATH) or ""

    def edit(self, change: Callable[[str], str]) -> None:
        """A person's commit."""
        with connect(self.places, self.settings.gitops) as (repository, _):
            repository.commit(PATH, change(repository.read(PATH) or ""), "By hand")
            repository.push()

    def rolling(self) -> Self:
        """With v1 as the stable and v2 at 10 %."""
        for version in ("v1", "v2"):
            self.propose(version)
            self.stages(2)
        return self

    def with_settings(self, **changes: Any) -> Self:
        """The same place under other settings."""
        self.settings = replace(self.settings, **changes)
        return self
