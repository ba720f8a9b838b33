"""What git's history says happened to an environment, whoever did it: the driver, a merge on GitHub, a person.

A driver that is killed between its push and the timeline leaves a commit without an event; the next call finds it here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.gitops.repository import Commit, Repository
from chexpert.pipeline.driver import message
from chexpert.serving.isvc import BadServedFile, ServedFile, ServedVersion, parse

__all__ = ["FROM_GIT", "candidate_of", "rollout_commits", "to_event", "unrecorded"]

FROM_GIT: Final = frozenset({Stage.FIRST, Stage.CANARY, Stage.SWAPPED, Stage.RETURNED})
"""Stages that are commits; the others only happen in the timeline."""


@dataclass(frozen=True, slots=True)
class _Change:
    commit: Commit
    before: ServedFile | None
    after: ServedFile


def candidate_of(served: ServedFile) -> ServedVersion | None:
    """The canary that gets traffic, if any."""
    return next((canary for canary in served.canaries if canary.traffic > 0), None)


def unrecorded(
    repository: Repository, path: str, events: Sequence[TimelineEvent], *, environment: str, now: datetime
) -> tuple[TimelineEvent, ...]:
    """Events of commits that the timeline does not have yet, oldest first."""
    known = {event.commit for event in events if event.stage in FROM_GIT}
    missing: list[TimelineEvent] = []
    for change in _changes(repository, path):
        if change.commit.sha in known:
            break
        event = to_event(change.commit, change.before, change.after, environment=environment, now=now)
        if event is not None:
            missing.append(event)
    return tuple(reversed(missing))


def to_event(
    commit: Commit, before: ServedFile | None, after: ServedFile, *, environment: str, now: datetime
) -> TimelineEvent | None:
    """What a change of the served file is in the timeline's words; None: nothing that serves has changed."""
    told = _tell(before, after)
    if told is None or after.stable is None:
        return None
    stage, canary = told
    trailers = message.read(commit.body)
    return TimelineEvent(
        time=now,
        environment=environment,
        stage=stage,
        stable=after.stable.name,
        canary=canary,
        weights=after.weights,
        reasons=trailers.reasons,
        verdict_uri=trailers.verdict_uri,
        report_uri=trailers.report_uri,
        commit=commit.sha,
    )


def rollout_commits(repository: Repository, path: str, version: str) -> tuple[str, ...]:
    """Commits that changed who serves since the candidate appeared, newest first: what a return undoes."""
    commits = []
    for change in _changes(repository, path):
        if _tell(change.before, change.after) is not None:
            commits.append(change.commit.sha)
        if change.before is None or version not in change.before.weights:
            break
    return tuple(commits)


def _tell(before: ServedFile | None, after: ServedFile) -> tuple[Stage, str] | None:
    if after.stable is None:
        return None
    if before is None or before.stable is None:
        return Stage.FIRST, ""
    if after.stable.name != before.stable.name:
        return Stage.SWAPPED, before.stable.name
    old, new = candidate_of(before), candidate_of(after)
    if new is not None:
        same = old is not None and (old.name, old.traffic) == (new.name, new.traffic)
        return None if same else (Stage.CANARY, new.name)
    return (Stage.RETURNED, old.name) if old is not None else None


def _changes(repository: Repository, path: str) -> Iterator[_Change]:
    """Changes of the file, newest first; states that nobody could serve are passed over."""
    for commit in repository.log(path):
        after = _served(repository, path, commit.sha)
        before = _served(repository, path, commit.parents[0]) if commit.parents else None
        if after is not None:
            yield _Change(commit, before, after)


def _served(repository: Repository, path: str, ref: str) -> ServedFile | None:
    text = repository.read(path, ref)
    try:
        return parse(text, where=f"{repository.url}:{path}@{ref[:10]}") if text is not None else None
    except BadServedFile:
        return None
