"""What the rollout page shows: steps, the last judgement, what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.triage.evidence_tables import Compared, Table, compared, tables
from chexpert.triage.records import Records
from chexpert.triage.rollouts import Timelines

__all__ = ["Judged", "rollout_page", "steps"]

_RAMP: Final = (10, 50, 100)
_KINDS: Final = {
    Stage.FIRST: "good",
    Stage.SWAPPED: "good",
    Stage.RETURNED: "bad",
    Stage.DRIFT: "warn",
    Stage.WAITING: "hold",
}
_HEADLINES: Final = {
    Stage.PROPOSED: "{canary} is proposed for {environment}",
    Stage.FIRST: "{stable} serves, the first version",
    Stage.CANARY: "{canary} at {percent} %",
    Stage.WAITING: "{canary} waits for a person",
    Stage.SWAPPED: "{stable} is the stable now, {canary} kept at 0 %",
    Stage.RETURNED: "{canary} returned, {stable} serves again",
    Stage.DRIFT: "The input has shifted: an alarm that blames nobody",
}
_ENDS: Final = frozenset({Stage.SWAPPED, Stage.RETURNED, Stage.FIRST})
_VERDICTS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Judged:
    """An event with the verdict it stands on."""

    event: TimelineEvent
    verdict: Verdict | None
    verdict_link: str
    """Path on this site; empty: the event names none."""
    report_link: str
    stable: str
    """Version the verdict's subject was held against."""

    @property
    def kind(self) -> str:
        """How it is marked: good, bad, warn, hold, or not at all."""
        return _KINDS.get(self.event.stage, "")

    @property
    def headline(self) -> str:
        """What happened, in a few words."""
        event = self.event
        names = {"canary": event.canary or "the candidate", "stable": event.stable or "none"}
        percent = event.weights.get(event.canary, 0)
        if event.stage is Stage.WAITING and not event.verdict_uri:  # nothing was judged: git is ahead of the routes
            return f"{names['canary']} waits for the gateway"
        return _HEADLINES[event.stage].format(**names, percent=percent, environment=event.environment)

    @property
    def outcome(self) -> str:
        """Of its verdict: passed, refused, or waits, where nobody is to blame."""
        if self.verdict is None or self.verdict.passed:
            return "passed"
        return "waits" if self.event.stage in {Stage.DRIFT, Stage.WAITING} else "refused"

    @property
    def compared(self) -> list[Compared]:
        """Candidate against stable."""
        return compared(self.verdict, self.stable) if self.verdict else []

    @property
    def tables(self) -> list[Table]:
        """The rest of the evidence."""
        return tables(self.verdict, self.stable) if self.verdict else []


def rollout_page(timelines: Timelines, records: Records) -> dict[str, Any]:
    """Values of the template."""
    production, staging = timelines.events("production"), timelines.events("staging")
    events = sorted([*production, *staging], key=lambda event: event.time, reverse=True)
    judged = [_judged(records, event, number) for number, event in enumerate(events)]
    candidate = _candidate(_newest(production))
    load_test = records.load_test(candidate) if candidate else None
    runs = [load_test[0] if load_test else "", f"rollout-production-{candidate}"]
    return {
        "judged": judged,
        "last": next((one for one in judged if one.verdict and one.event.environment == "production"), None),
        "current": next((event for event in reversed(production) if event.weights), None),
        "steps": steps(production, staging, load_test[1] if load_test else None),
        "title": _title(production),
        "reports": [(run, name) for run in runs if run for name in records.reports(run)],
        "candidate": candidate,
    }


def _judged(records: Records, event: TimelineEvent, number: int) -> Judged:
    verdict = records.verdict(event.verdict_uri) if number < _VERDICTS_SHOWN and event.verdict_uri else None
    others = [version for version in (event.stable, event.canary) if verdict and version != verdict.subject]
    return Judged(
        event,
        verdict,
        records.link(event.verdict_uri, "verdicts"),
        records.link(event.report_uri, "reports"),
        others[0] if others else "",
    )


def steps(
    production: Sequence[TimelineEvent],
    staging: Sequence[TimelineEvent],
    load_test: Verdict | None = None,
) -> list[dict[str, str]]:
    """Staging, 10 %, 50 %, 100 %, the old version at 0 %: each done, now, back or ahead, of the newest rollout."""
    rollout = _newest(production)
    candidate = _candidate(rollout)
    staged = [event for event in staging if candidate and candidate in (event.canary, event.stable)]
    proposed = next((event for event in rollout if event.stage is Stage.PROPOSED), None)
    rows = [_step("Staging", staged[-1] if staged else proposed, done=bool(staged or proposed))]
    if load_test is not None:
        rows[0]["reason"] = f"load test: {load_test.reasons[0]}"
    elif proposed is not None:
        rows[0]["reason"] = "proposed from there"
    ended = rollout[-1] if rollout and rollout[-1].stage in _ENDS else None
    canaries = [event for event in rollout if event.stage is Stage.CANARY]
    reached = {event.weights.get(event.canary, -1): event for event in canaries}
    last = max((percent for percent in reached if percent in _RAMP), default=0)
    for percent in _RAMP:
        event = reached.get(percent)
        step = _step(f"{percent} %", event, done=bool(event and (percent < last or ended)))
        if event:
            # What is said of a stage stands on the event that followed from it.
            after = rollout[rollout.index(event) + 1 :]
            step["reason"] = next((one.reasons[0] for one in after if one.reasons), "")
        if event and percent == last and not ended:
            step["state"] = "now"
        if event and percent == last and ended and ended.stage is Stage.RETURNED:
            step.update(state="back", note="returned here")
        if ended and ended.stage is Stage.FIRST:
            step["note"] = "not needed: the first version"
        rows.append(step)
    rows.append(_last_step(rollout, ended))
    if ended and ended.stage is Stage.RETURNED:
        for row in rows:
            row["note"] = row["note"] or "not reached"
    return rows


def _last_step(rollout: Sequence[TimelineEvent], ended: TimelineEvent | None) -> dict[str, str]:
    old = next((event.stable for event in reversed(rollout) if event.stage in {Stage.CANARY, Stage.PROPOSED}), "")
    swapped = ended if ended and ended.stage in {Stage.SWAPPED, Stage.FIRST} else None
    step = _step(f"{old or 'Old version'} at 0 %", swapped, done=swapped is not None)
    step["reason"] = "kept as the way back" if old else "there was none before"
    if not swapped:
        step.update(note="", reason="then the names swap" if old and not ended else "")
    return step


def _candidate(rollout: Sequence[TimelineEvent]) -> str:
    """The version a rollout is about: the one it tries, not the one a swap leaves at 0 %."""
    tried = [event.canary for event in rollout if event.stage in {Stage.CANARY, Stage.PROPOSED} and event.canary]
    return tried[-1] if tried else rollout[-1].stable if rollout else ""


def _newest(production: Sequence[TimelineEvent]) -> list[TimelineEvent]:
    """Events since the rollout before ended; alarms and waits belong to the one that runs."""
    acts = [event for event in production if event.stage in _ENDS | {Stage.CANARY, Stage.WAITING, Stage.PROPOSED}]
    before = [number for number, event in enumerate(acts[:-1]) if event.stage in _ENDS]
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
