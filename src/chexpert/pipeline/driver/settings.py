"""Settings of a rollout, as two named profiles."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, Self

from chexpert.domain.errors import InputError
from chexpert.domain.places import Places
from chexpert.gitops.promotion_request import GitOpsSettings
from chexpert.monitoring.drift import DriftSettings
from chexpert.monitoring.replay import ReplaySettings
from chexpert.monitoring.thresholds import StageThresholds

__all__ = ["BadStages", "Baseline", "Merge", "Profile", "RolloutSettings", "UnknownWord"]

_WHOLE: Final = 100


class _Named(StrEnum):
    """Words that come from a command line or a workflow's parameter."""

    @classmethod
    def named(cls, word: str) -> Self:
        """The member of this name, or UnknownWord."""
        try:
            return cls(word)
        except ValueError as error:
            raise UnknownWord(cls.__name__.lower(), word, tuple(cls)) from error


class Merge(_Named):
    """Who merges a promotion's pull request."""

    AUTO = "auto"
    """The driver, if the diff passes."""
    WAIT = "wait"
    """A person."""


class Profile(_Named):
    """A named set of settings."""

    DEMO = "demo"
    """Tens of answers and seconds."""
    PRODUCTION = "production"
    """Thousands of answers and hours."""


class Baseline(_Named):
    """What the input is compared with, to tell its shift from a candidate's drift."""

    BUNDLE = "bundle"
    """Each version's own validation images."""
    TRAFFIC = "traffic"
    """The stable's answers of the time before the rollout: for a site whose images differ from the validation's."""


class UnknownWord(InputError):
    """A setting's value that is none of its words."""

    def __init__(self, setting: str, word: str, known: tuple[str, ...]) -> None:
        super().__init__(f"{setting} {word!r} is not known: expected {' or '.join(known)}")
        self.setting = setting
        self.word = word


class BadStages(InputError):
    """Stages that lead nowhere."""

    def __init__(self, stages: tuple[int, ...]) -> None:
        super().__init__(f"stages {stages}: expected rising percentages that end with {_WHOLE}, such as 10, 50, 100")
        self.stages = stages


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How a candidate becomes the stable. The defaults are for production."""

    stages: tuple[int, ...] = (10, 50, _WHOLE)
    """The candidate's percentages, one after the other. The first stands in the pull request."""
    merge: Merge = Merge.WAIT
    thresholds: StageThresholds = field(default_factory=StageThresholds)
    drift: DriftSettings = field(default_factory=DriftSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    baseline: Baseline = Baseline.BUNDLE
    lookback: timedelta = timedelta(hours=24)
    """How far back the stable's answers are the baseline; used with `traffic`."""
    settle: timedelta = timedelta(seconds=5)
    """Answers of so long after a new weight are left out: a route is live up to 2 s after its commit is synced."""
    patience: timedelta = timedelta(minutes=2)
    """How long a cluster may take from a commit to the route before the timeline says why, if no pod fails meanwhile:
    Argo CD looks at git every two to three minutes by default, less where it is told of a push; 0 tells at once."""
    gitops: GitOpsSettings = field(default_factory=GitOpsSettings)

    def __post_init__(self) -> None:
        rising = all(0 < low < high for low, high in pairwise(self.stages))
        if not self.stages or self.stages[0] <= 0 or not rising or self.stages[-1] != _WHOLE:
            raise BadStages(self.stages)

    @classmethod
    def of(cls, profile: Profile, *, merge: Merge = Merge.WAIT) -> Self:
        """The settings of a profile."""
        if profile is Profile.PRODUCTION:
            return cls(merge=merge)
        return cls(
            merge=merge,
            thresholds=StageThresholds.demo(),
            replay=ReplaySettings(images=20),
            settle=timedelta(seconds=1),
        )

    def connected(self, places: Places, environment: Mapping[str, str]) -> Self:
        """The same with the home of pull requests and of single versions that the environment names.

        See GitOpsSettings, and `version_url` of Places.
        """
        return replace(
            self,
            gitops=GitOpsSettings.from_environment(places.need("gitops"), environment),
            replay=replace(self.replay, version_url=places.version_url or self.replay.version_url),
        )

    def after(self, percent: int) -> int | None:
        """The stage that follows one; None after the last."""
        return next((stage for stage in self.stages if stage > percent), None)
