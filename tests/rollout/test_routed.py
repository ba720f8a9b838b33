"""The driver on a cluster: it judges what the gateway gives, not what git says."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from chexpert.cluster.errors import KServeTooOld
from chexpert.cluster.routing import Routed
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.driver.timeline import Timeline
from chexpert.pipeline.rollout import advance
from chexpert.serving.isvc import ServedFile
from chexpert.testing.rollouts import RolloutSite

CRASH = "git gives v2 10 %, the route 0 %: pod chexpert-v2-0 Init:CrashLoopBackOff"


@dataclass
class Gateway:
    """Follows git, or says why not."""

    reasons: Sequence[str] = ()
    failing: bool = False
    since: timedelta = timedelta()
    """How long before now the route was written."""
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)
    site: RolloutSite | None = None

    def read(self, environment: str, served: ServedFile) -> Routed:
        """What the driver is told."""
        self.asked.append(environment)
        if self.error is not None:
            raise self.error
        assert self.site is not None
        return Routed(served.weights, self.site.now - self.since, tuple(self.reasons), self.failing)


@dataclass
class Cluster:
    """A site whose driver asks a gateway."""

    site: RolloutSite
    gateway: Gateway

    def advance(self, *, seconds: float = 1.0) -> TimelineEvent | None:
        """One step, some seconds later."""
        site = self.site
        site.now += timedelta(seconds=seconds)
        return advance("production", site.settings, site.places, now=site.now, routing=self.gateway)

    def lags(self, *reasons: str, failing: bool = False) -> None:
        """From now on the gateway does not follow."""
        self.gateway.reasons, self.gateway.failing = reasons, failing


@pytest.fixture
def cluster(site: RolloutSite) -> Cluster:
    """v1 serves, v2 has 10 % in git."""
    return Cluster(site.rolling(), Gateway(site=site))


def test_a_stage_is_judged_only_once_the_route_gives_it(cluster: Cluster) -> None:
    """However many answers there are: they are not the stage's."""
    cluster.lags("the cluster is told v1 100 % yet")
    cluster.site.both("v1", 360, "v2", 45)
    assert cluster.advance() is None
    cluster.lags()
    cluster.gateway.since = timedelta(minutes=1)
    event = cluster.advance()
    assert event is not None
    assert event.weights == {"v1": 50, "v2": 50}


def test_answers_before_the_route_followed_are_not_the_stages(cluster: Cluster) -> None:
    """The window begins when the route was written, not with the commit."""
    cluster.site.both("v1", 360, "v2", 45)
    assert cluster.advance() is None  # the route was written this second
    assert cluster.site.served().weights == {"v1": 90, "v2": 10}


def test_each_reason_is_told_once(cluster: Cluster) -> None:
    """A failing pod at once, again only when its first words change; the timeline keeps stage and weights."""
    cluster.lags(CRASH, "3 restarts of storage-initializer", failing=True)
    told = cluster.advance()
    assert told is not None
    assert (told.stage, told.canary, told.reasons[0]) == (Stage.WAITING, "v2", CRASH)
    assert told.weights == {"v1": 90, "v2": 10}
    cluster.lags(CRASH, "4 restarts of storage-initializer", failing=True)
    assert cluster.advance() is None
    cluster.lags("git gives v2 10 %, the route 0 %: pod chexpert-v2-0 Unschedulable", failing=True)
    again = cluster.advance()
    assert again is not None
    assert "Unschedulable" in again.reasons[0]


def test_a_slow_start_is_told_after_a_while(cluster: Cluster) -> None:
    """A pod that starts and a commit that waits for Argo CD are no news before the patience is over."""
    cluster.lags("git gives v2 10 %, the route 0 %: pod chexpert-v2-0 starts")
    limit = replace(cluster.site.settings.thresholds, limit=timedelta(hours=1))
    cluster.site.with_settings(patience=timedelta(minutes=2), thresholds=limit)
    assert cluster.advance(seconds=100) is None
    event = cluster.advance(seconds=30)
    assert event is not None
    assert event.stage is Stage.WAITING


def test_a_dead_canary_returns_by_its_time_limit(cluster: Cluster) -> None:
    """The limit runs while the route waits, and the verdict says what the pod said."""
    cluster.lags(CRASH, "NoSuchKey: bundles/sha256-12", failing=True)
    cluster.advance()
    event = cluster.advance(seconds=61)
    assert event is not None
    assert event.stage is Stage.RETURNED
    assert event.reasons == (f"not routed within 0:01:00: {CRASH}", "NoSuchKey: bundles/sha256-12")
    assert cluster.site.served().weights == {"v1": 100}
    verdict = Verdict.from_json(Path(event.verdict_uri).read_text())
    assert not verdict.passed
    assert verdict.reasons == event.reasons


def test_the_limit_runs_though_answers_come_at_an_earlier_weight(cluster: Cluster) -> None:
    """A route stuck at the weight before gives answers enough; the stage ends all the same."""
    cluster.lags("git gives v2 10 %, the route 5 %")
    cluster.site.both("v1", 360, "v2", 45)
    event = cluster.advance(seconds=61)
    assert event is not None
    assert event.stage is Stage.RETURNED


def test_the_next_promotion_waits_for_the_route(cluster: Cluster) -> None:
    """After a return, or a swap, nothing is merged until the gateway follows; then it is."""
    cluster.lags(CRASH, failing=True)
    assert [event.stage if (event := cluster.advance(seconds=s)) else None for s in (1, 61)] == ["waiting", "returned"]
    cluster.site.propose("v3")
    proposed = cluster.advance()
    assert proposed is not None
    assert proposed.stage is Stage.PROPOSED
    cluster.lags("git gives v1 100 %, the cluster is told v1 90 %, v2 10 % yet")
    assert cluster.advance() is None
    late = cluster.advance(seconds=300)
    assert late is not None
    assert (late.stage, late.canary) == (Stage.WAITING, "v3")
    assert cluster.advance() is None
    cluster.lags()
    merged = cluster.advance()
    assert merged is not None
    assert (merged.stage, merged.canary) == (Stage.CANARY, "v3")


def test_a_kserve_that_is_too_old_stops_the_driver(cluster: Cluster) -> None:
    """With words, and without a commit or an event."""
    before = Timeline(cluster.site.places.objects, "production").read()
    cluster.gateway.error = KServeTooOld("it has no spec.canary")
    with pytest.raises(KServeTooOld, match=r"after 0\.20\.0"):
        cluster.advance()
    assert Timeline(cluster.site.places.objects, "production").read() == before


def test_one_machine_asks_no_gateway(site: RolloutSite) -> None:
    """Without CHEXPERT_INFERENCE_SERVICE nothing lies between git and the server."""
    from chexpert.cluster.routing import connect

    assert connect(site.places) is None
