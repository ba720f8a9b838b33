"""The rollout driver: one idempotent step that reads git and the timeline, does at most one thing, and ends.

pull request → canary at 10 → 50 → 100 percent, each stage judged → names swapped, the old version kept at 0 %. A stage
that fails is undone by a revert. Each change is a commit first and an event of the timeline after; a call that was
killed in between is finished by the next one, and two drivers at once cannot both push. On a cluster a stage is judged,
and the next promotion begun, only once the gateway gives what git says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chexpert.cluster.routing import Routed, Routing
from chexpert.domain.places import Places
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.gitops import promotion
from chexpert.gitops.check import check_diff
from chexpert.gitops.errors import NoEnvironment
from chexpert.gitops.merging import check_merge
from chexpert.gitops.promotion_request import connect
from chexpert.gitops.pull_requests import PullRequest, PullRequests
from chexpert.gitops.repository import Repository
from chexpert.monitoring.stage import Action
from chexpert.pipeline.driver import evidence, history, message
from chexpert.pipeline.driver.message import Trailers
from chexpert.pipeline.driver.settings import Baseline, Merge, Profile, RolloutSettings
from chexpert.pipeline.driver.timeline import Timeline
from chexpert.serving.isvc import ServedFile, ServedVersion, parse

__all__ = ["Baseline", "Merge", "Profile", "RolloutSettings", "advance"]


def advance(
    environment: str,
    settings: RolloutSettings,
    places: Places,
    *,
    now: datetime,
    routing: Routing | None = None,
) -> TimelineEvent | None:
    """Do the next thing of a rollout, if there is one.

    Args:
        environment: Such as production.
        settings: Stages, thresholds, who merges.
        places: objects, gitops and production are needed.
        now: The present, with its zone.
        routing: Tells what the gateway gives; None: one machine, where the server follows git by itself.

    Returns:
        The event that was written; None: nothing to do, or a stage still gathers answers.

    Raises:
        RetryableError: Something did not answer, or someone else was faster; call again.
        NoEnvironment: The repository has no file for it.
        KServeTooOld: The cluster will never give a canary its weight.
    """
    timeline = Timeline(places.need("objects"), environment)
    with connect(places, settings.gitops, now=now) as (repository, requests):
        path = settings.gitops.file(environment)
        text = repository.read(path)
        if text is None:
            raise NoEnvironment(repository.url, path)
        events = timeline.read()
        step = _Step(environment, settings, places, now, timeline, events, repository, requests, routing, path, text)
        if recorded := step.record():
            return recorded
        served = parse(text, where=f"{repository.url}:{path}")
        candidate = history.candidate_of(served)
        if candidate is not None and served.stable is not None:
            return step.judge(served, served.stable, candidate)
        return step.promote(served)


@dataclass(frozen=True, slots=True)
class _Step:
    environment: str
    settings: RolloutSettings
    places: Places
    now: datetime
    timeline: Timeline
    events: Sequence[TimelineEvent]
    repository: Repository
    requests: PullRequests
    routing: Routing | None
    path: str
    text: str

    def record(self) -> TimelineEvent | None:
        """Write the event of the oldest commit that has none."""
        found = history.unrecorded(self.repository, self.path, self.events, environment=self.environment, now=self.now)
        if not found:
            return None
        event = found[0]
        proposed = [e for e in self.events if e.stage is Stage.PROPOSED and e.canary in {event.canary, event.stable}]
        if event.stage in {Stage.FIRST, Stage.CANARY} and proposed:
            event = replace(event, pull_request=proposed[-1].pull_request)
        if event.stage is Stage.FIRST:
            verdict = Verdict.judge("first", event.stable, [], otherwise="first, nothing to compare with")
            uri = evidence.save_verdict(self.places, f"rollout-{self.environment}-{event.stable}", "first", verdict)
            event = replace(event, reasons=verdict.reasons, verdict_uri=uri)
        return self.timeline.append(event)

    def promote(self, served: ServedFile) -> TimelineEvent | None:
        """Tell of a new pull request, or merge one."""
        for request in self.requests.open_ones(self.environment):
            known = [e for e in self.events if (e.pull_request, e.commit) == (request.url, request.head)]
            if not any(e.stage is Stage.PROPOSED for e in known):
                return self._tell(Stage.PROPOSED, served, request, Trailers((request.title,)))
            if self.settings.merge is Merge.WAIT:
                continue
            routed = self._routed(served)
            if routed is not None and not routed.follows:
                if self._worth_telling(routed, known, self._last_change()):
                    return self._tell(Stage.WAITING, served, request, Trailers(routed.reasons))
                continue
            verdict = check_merge(self.repository, request, self.path)
            if verdict.passed:
                self.requests.merge(request)
                self.repository.sync()
                return self.record()
            if not any(e.stage is Stage.WAITING and e.verdict_uri for e in known):
                uri = evidence.save_verdict(
                    self.places, f"rollout-{self.environment}-{request.version}", "promotion-diff", verdict
                )
                return self._tell(Stage.WAITING, served, request, Trailers(verdict.reasons, uri))
        return None

    def judge(self, served: ServedFile, stable: ServedVersion, candidate: ServedVersion) -> TimelineEvent | None:
        """Judge the stage; go on, return, tell of a shift, or wait, for answers or for the gateway."""
        rollout = self._rollout_events(candidate.name)
        stage_event = next(e for e in reversed(rollout) if e.stage is Stage.CANARY)
        routed = self._routed(served)
        stage = evidence.StageUnderJudgement(
            self.environment,
            candidate,
            stable,
            rollout[0].time,
            stage_event.time,
            routed.since if routed else None,
            routed.reasons if routed else (),
        )
        judged = evidence.decide(stage, self.settings, self.places, now=self.now)
        match judged.decision.action:
            case Action.WAIT:
                told = self.events[self.events.index(stage_event) :]
                if routed is None or not self._worth_telling(routed, told, stage_event.time):
                    return None
                return self._beside(stage_event, Stage.WAITING, Trailers(routed.reasons))
            case Action.ALARM:
                alarmed = any(e.stage is Stage.DRIFT for e in rollout[rollout.index(stage_event) :])
                return None if alarmed else self._beside(stage_event, Stage.DRIFT, judged.trailers)
            case Action.BACK:
                return self._return(candidate.name, judged.trailers)
            case Action.GO:
                return self._go_on(candidate, judged.trailers)

    def _go_on(self, candidate: ServedVersion, trailers: Trailers) -> TimelineEvent | None:
        following = self.settings.after(candidate.traffic)
        if following is None:
            text, subject = promotion.swap(self.text, candidate.name), f"Make {candidate.name} the stable"
        else:
            text = promotion.set_weight(self.text, candidate.name, following)
            subject = f"Give {candidate.name} {following} % of {self.environment}"
        check_diff(self.text, text, subject=f"{self.environment} {candidate.name}").require()
        self.repository.commit(self.path, text, message.compose(subject, trailers), at=self.now)
        self.repository.push()
        return self.record()

    def _return(self, version: str, trailers: Trailers) -> TimelineEvent | None:
        undone = history.rollout_commits(self.repository, self.path, version)
        words = message.compose(f"Return {version} from {self.environment}", trailers, reverted=undone)
        sha = self.repository.revert(undone, words, at=self.now)
        after = self.repository.read(self.path)
        if sha is None or after is None or version in parse(after, where=self.path).weights:
            # Someone edited the file meanwhile: their edit stays, only the candidate goes.
            self.repository.sync()
            words = message.compose(f"Return {version} from {self.environment}", trailers)
            self.repository.commit(self.path, promotion.withdraw(self.text, version), words, at=self.now)
        self.repository.push()
        return self.record()

    def _routed(self, served: ServedFile) -> Routed | None:
        if self.routing is None or served.stable is None:
            return None
        return self.routing.read(self.environment, served)

    def _worth_telling(self, routed: Routed, told: Sequence[TimelineEvent], since: datetime) -> bool:
        """Whether the gateway lags for a reason not told yet, by a failing pod or longer than usual."""
        if routed.follows or any(e.stage is Stage.WAITING and e.reasons[:1] == routed.reasons[:1] for e in told):
            return False
        return routed.failing or self.now - since >= self.settings.patience

    def _last_change(self) -> datetime:
        return next((e.time for e in reversed(self.events) if e.stage in history.FROM_GIT), self.now)

    def _beside(self, stage_event: TimelineEvent, stage: Stage, trailers: Trailers) -> TimelineEvent:
        """Tell of something that happens in a stage and changes nothing in git."""
        return self.timeline.append(
            replace(
                stage_event,
                time=self.now,
                stage=stage,
                reasons=trailers.reasons,
                verdict_uri=trailers.verdict_uri,
                report_uri=trailers.report_uri,
            )
        )

    def _tell(self, stage: Stage, served: ServedFile, request: PullRequest, trailers: Trailers) -> TimelineEvent:
        return self.timeline.append(
            TimelineEvent(
                time=self.now,
                environment=self.environment,
                stage=stage,
                stable=served.stable.name if served.stable else "",
                canary=request.version,
                weights=served.weights,
                reasons=trailers.reasons,
                verdict_uri=trailers.verdict_uri,
                commit=request.head,
                pull_request=request.url,
            )
        )

    def _rollout_events(self, version: str) -> list[TimelineEvent]:
        """Events since the candidate got its first traffic, oldest first."""
        found: list[TimelineEvent] = []
        for event in reversed(self.events):
            if event.canary != version or event.stage not in {Stage.CANARY, Stage.DRIFT}:
                if event.stage in history.FROM_GIT:
                    break
                continue
            found.append(event)
        return found[::-1]
