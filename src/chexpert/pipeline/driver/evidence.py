"""What a stage is judged on, gathered from its places: log, references, shadow replays, readers' answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from chexpert.data import objects as objects_store
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.monitoring import answers, drift, reference, window
from chexpert.monitoring.reference import Reference
from chexpert.monitoring.replay import Replay, replay
from chexpert.monitoring.stage import Action, Decision, early, judge
from chexpert.monitoring.window import Window
from chexpert.pipeline.driver.message import Trailers
from chexpert.pipeline.driver.settings import Baseline, RolloutSettings
from chexpert.serving.isvc import ServedVersion

__all__ = ["Judged", "StageUnderJudgement", "decide", "save_verdict"]


@dataclass(frozen=True, slots=True)
class StageUnderJudgement:
    """One candidate at one weight."""

    environment: str
    candidate: ServedVersion
    stable: ServedVersion
    rollout_started: datetime
    stage_started: datetime
    routed_since: datetime | None = None
    """When the routes got this stage's weight; None: with its commit."""
    unrouted: Sequence[str] = ()
    """Why the gateway does not give the weight yet; empty: it does."""

    @property
    def gate(self) -> str:
        """Name of its verdict, such as canary-10."""
        return f"canary-{self.candidate.traffic}"

    @property
    def run(self) -> str:
        """Folder of its verdicts and reports."""
        return f"rollout-{self.environment}-{self.candidate.name}"

    @property
    def answers_from(self) -> datetime:
        """When its answers begin to be the stage's own."""
        return max(self.stage_started, self.routed_since or self.stage_started)


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision, with where its grounds are recorded."""

    decision: Decision
    trailers: Trailers


def decide(stage: StageUnderJudgement, settings: RolloutSettings, places: Places, *, now: datetime) -> Judged:
    """Judge a stage; a verdict other than 'wait' is recorded under verdicts/, its pages under reports/."""
    objects = places.need("objects")
    since = stage.answers_from + settings.settle
    # At 100 % the stable answers nobody any more: it is compared by what it answered in the stages before.
    stable_since = since if stage.stable.traffic > 0 else stage.rollout_started + settings.settle
    ours = window.read(objects, since, [stage.candidate.name])[stage.candidate.name]
    theirs = window.read(objects, stable_since, [stage.stable.name])[stage.stable.name]
    decision = early(
        stage.gate,
        ours,
        theirs,
        settings.thresholds,
        started=stage.stage_started,
        now=now,
        unrouted=stage.unrouted,
    )
    pages: Mapping[str, str] = {}
    if decision is None:
        found = _drift(stage, ours, theirs, settings, objects)
        pages = found.pages
        said = answers.read(objects, stage.rollout_started)
        decision = judge(
            stage.gate,
            ours,
            theirs,
            settings.thresholds,
            drift=found,
            replay=_replay(stage, ours, theirs, settings, places),
            answers=(answers.score(ours, said), answers.score(theirs, said)),
        )
    if decision.action is Action.WAIT:
        return Judged(decision, Trailers(decision.verdict.reasons))
    name = f"{stage.gate}-drift" if decision.action is Action.ALARM else stage.gate
    if decision.action is Action.ALARM and objects_store.exists(places.object("verdicts", stage.run, f"{name}.json")):
        return Judged(decision, Trailers(decision.verdict.reasons))  # told already: its record stays as it was
    reports = [_save_page(places, stage.run, name, title, html) for title, html in pages.items()]
    verdict_uri = save_verdict(places, stage.run, name, decision.verdict)
    return Judged(decision, Trailers(decision.verdict.reasons, verdict_uri, reports[-1] if reports else ""))


def save_verdict(places: Places, run: str, name: str, verdict: Verdict) -> str:
    """Record a verdict; returns its URI. Judging again writes the same name again."""
    uri = places.object("verdicts", run, f"{name}.json")
    objects_store.write_bytes(uri, verdict.to_json().encode())
    return uri


def _drift(
    stage: StageUnderJudgement, ours: Window, theirs: Window, settings: RolloutSettings, objects: str
) -> drift.DriftReport:
    if settings.drift.alpha <= 0.0:
        return drift.DriftReport((), (), ())
    expected = _references(stage, settings, objects)
    return drift.compare(ours, theirs, expected[0], expected[1], settings.drift)


def _references(
    stage: StageUnderJudgement, settings: RolloutSettings, objects: str
) -> tuple[Reference | None, Reference | None]:
    if settings.baseline is Baseline.BUNDLE:
        return reference.read(stage.candidate.storage_uri), reference.read(stage.stable.storage_uri)
    started = stage.rollout_started
    before = window.read(objects, started - settings.lookback, [stage.stable.name], until=started)[stage.stable.name]
    if before.statistics.shape[0] < settings.drift.min_rows:
        return None, None
    # The candidate answered none of those images: only how they looked is expected of its own.
    no_scores = np.zeros((0, len(OBSERVATIONS)))
    return Reference(no_scores, before.statistics), Reference(before.scores, before.statistics)


def _replay(
    stage: StageUnderJudgement, ours: Window, theirs: Window, settings: RolloutSettings, places: Places
) -> Replay | None:
    if settings.replay.images <= 0:
        return None
    objects, started = places.need("objects"), stage.rollout_started
    before = window.read(objects, started - settings.lookback, [stage.stable.name], until=started)[stage.stable.name]
    return replay(
        objects,
        places.need("production"),
        [*reversed(ours.images), *reversed(theirs.images), *reversed(before.images)],
        candidate=stage.candidate.name,
        stable=stage.stable.name,
        settings=settings.replay,
    )


def _save_page(places: Places, run: str, name: str, title: str, html: str) -> str:
    uri = places.object("reports", run, f"{name}-{title.replace(' ', '-')}.html")
    objects_store.write_bytes(uri, html.encode())
    return uri
