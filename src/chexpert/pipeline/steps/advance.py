"""Advance: move an environment's rollout on by at most one thing, and let the registry's alias mirror git."""

import os
from dataclasses import replace
from datetime import UTC, datetime

from chexpert.cluster.routing import connect
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.pipeline.driver.settings import Baseline, Merge, Profile, RolloutSettings
from chexpert.pipeline.rollout import advance
from chexpert.pipeline.step import StepContext
from chexpert.registry import models

__all__ = ["run"]


def run(context: StepContext) -> None:
    """Write the event, if there was anything to do."""
    environment = context.parameter("environment")
    settings = RolloutSettings.of(
        Profile.named(context.parameter("profile")), merge=Merge.named(context.parameter("merge"))
    )
    settings = replace(settings, baseline=Baseline.named(context.parameter("baseline")))
    event = advance(
        environment,
        settings.connected(context.places, os.environ),
        context.places,
        now=datetime.now(UTC),
        routing=connect(context.places),
    )
    if event is None:
        context.progress(1, 1, "nothing to do yet")
        return
    _mirror(context, environment, event)
    context.progress(1, 1, f"{event.stage}: {'; '.join(event.reasons)}")
    context.output("event").write_text(event.to_json(), encoding="utf-8")


def _mirror(context: StepContext, environment: str, event: TimelineEvent) -> None:
    """Git is the truth; the alias follows it after the change."""
    if event.stage in {Stage.FIRST, Stage.SWAPPED, Stage.RETURNED} and event.stable:
        models.set_alias(context.places.need("tracking"), environment, event.stable)
