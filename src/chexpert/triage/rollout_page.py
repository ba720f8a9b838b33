"""What the rollout page shows: steps, the last judgement, what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.triage.rollouts import Timelines, cells

__all__ = ["Judged", "rollout_page", "steps"]

_RAMP: Final = (10, 50, 100)
_KINDS: Final = {
    Stage.FIRST: "good",
    Stage.SWAPPED: "good",
    Stage.RETURNED: "bad",
    Stage.DRIFT: "warn",
    Stage.WAITING: "hold",
}
_VERDICTS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Judged:
    """An event with the verdict it stands on."""

    event: TimelineEvent
    verdict: Verdict | None
    columns: list[str]
    rows: list[list[str]]

    @property
    def kind(self) -> str:
        """How it is marked: good, bad, warn, hold, or not at all."""
        return _KINDS.get(self.event.stage, "")


def rollout_page(timelines: Timelines) -> dict[str, Any]:
    """Values of the template."""
    production, staging = timelines.events("production"), timelines.events("staging")
    events = sorted([*production, *staging], key=lambda event: event.time, reverse=True)
    judged = [_judged(timelines, event, number) for number, event in enumerate(events)]
    return {
        "judged": judged,
        "last": next((one for one in judged if one.verdict and one.event.environment == "production"), None),
        "current": next((event for event in reversed(production) if event.weights), None),
        "steps": steps(production, staging),
        "title": _title(production),
    }


def _judged(timelines: Timelines, event: TimelineEvent, number: int) -> Judged:
    verdict = timelines.verdict(event.verdict_uri) if number < _VERDICTS_SHOWN and event.verdict_uri else None
    return Judged(event, verdict, *(cells(verdict) if verdict else ([], [])))


def steps(production: Sequence[TimelineEvent], staging: Sequence[TimelineEvent]) -> list[dict[str, str]]:
    """Staging, 10 %, 50 %, 100 %, swapped: each done, now, back or ahead, of the newest rollout."""
    rollout = _newest(production)
    candidate = next((event.canary or event.stable for event in reversed(rollout)), "")
    staged = [event for event in staging if candidate and candidate in (event.canary, event.stable)]
    rows = [_step("Staging", staged[-1] if staged else None, done=bool(staged))]
    ended = rollout[-1] if rollout and rollout[-1].stage in {Stage.SWAPPED, Stage.RETURNED, Stage.FIRST} else None
    first = bool(ended and ended.stage is Stage.FIRST)
    reached = {percent: event for event in rollout for percent in [event.weights.get(event.canary, -1)] if event.canary}
    last = max((percent for percent in reached if percent in _RAMP), default=0)
    for percent in _RAMP:
        event = reached.get(percent)
        step = _step(f"{percent} %", event, done=bool(event and (percent < last or ended)))
        if event and percent == last and not ended:
            step["state"] = "now"
        if event and percent == last and ended and ended.stage is Stage.RETURNED:
            step.update(state="back", note="returned here")
        if first:
            step["note"] = "not needed: first"
        rows.append(step)
    swapped = ended if ended and ended.stage in {Stage.SWAPPED, Stage.FIRST} else None
    rows.append(_step("Swapped", swapped, done=swapped is not None))
    return rows


def _newest(production: Sequence[TimelineEvent]) -> list[TimelineEvent]:
    """Events since the rollout before ended; alarms and waits belong to the one that runs."""
    ends = {Stage.SWAPPED, Stage.RETURNED, Stage.FIRST}
    acts = [event for event in production if event.stage in ends | {Stage.CANARY, Stage.WAITING, Stage.PROPOSED}]
    before = [number for number, event in enumerate(acts[:-1]) if event.stage in ends]
    return acts[before[-1] + 1 :] if before else acts


def _step(name: str, event: TimelineEvent | None, *, done: bool) -> dict[str, str]:
    note = f"{event.time:%H:%M}" if event else ""
    return {
        "name": name,
        "state": "done" if done else "",
        "note": note,
        "reason": event.reasons[0] if event and event.reasons else "",
    }


def _title(production: Sequence[TimelineEvent]) -> str:
    if not production:
        return "No model yet"
    event = production[-1]
    match event.stage:
        case Stage.SWAPPED | Stage.FIRST:
            return f"{event.stable} serves all of production"
        case Stage.RETURNED:
            return f"{event.stable} serves again, {event.canary or 'the candidate'} was returned"
        case _:
            return (
                f"{event.canary} over {event.stable} in production"
                if event.canary
                else f"{event.stable or 'No model'} in production"
            )
