"""The rollout driver, step by step, on real git and real objects."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chexpert.domain.errors import RetryableError
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.gitops import promotion
from chexpert.gitops.promotion_request import connect
from chexpert.monitoring.drift import DriftSettings
from chexpert.monitoring.replay import ReplaySettings
from chexpert.pipeline.driver.timeline import Timeline
from chexpert.pipeline.rollout import Merge
from chexpert.testing.logs import Behaviour
from chexpert.testing.predictor import FakePredictor
from chexpert.testing.rollouts import RolloutSite


def test_the_first_promotion_has_nothing_to_compare_with(site: RolloutSite) -> None:
    """Nothing proposed: nothing done. Then: proposed, merged, and a verdict that says so."""
    assert site.stages(2) == [None, None]
    site.propose("v1")
    proposed, first, rest = site.advance(), site.advance(), site.advance()
    assert (proposed.stage, first.stage, rest) == (Stage.PROPOSED, Stage.FIRST, None)
    assert site.served().weights == first.weights == {"v1": 100}
    assert first.reasons == ("first, nothing to compare with",)
    assert first.pull_request == proposed.pull_request != ""
    assert Verdict.from_json(Path(first.verdict_uri).read_text()).passed


def test_a_healthy_twin_reaches_the_swap(site: RolloutSite) -> None:
    """10, 50, 100, swap: each on its own answers, each one commit and one event; the old version stays at 0 %."""
    site.with_settings(drift=DriftSettings()).rolling()
    seen = []
    for shares in ((360, 45), (200, 200), (0, 200)):
        assert site.advance() is None  # no answers yet
        site.both("v1", shares[0], "v2", shares[1])
        seen.append(site.advance())
    assert [(e.stage, dict(e.weights)) for e in seen] == [
        (Stage.CANARY, {"v1": 50, "v2": 50}),
        (Stage.CANARY, {"v1": 0, "v2": 100}),
        (Stage.SWAPPED, {"v2": 100, "v1": 0}),
    ]
    assert site.served().weights == {"v2": 100, "v1": 0}
    assert site.stages(2) == [None, None]
    for event in seen:
        verdict = Verdict.from_json(Path(event.verdict_uri).read_text())
        assert verdict.passed
        assert verdict.reasons == event.reasons
        assert "Kolmogorov" in Path(event.report_uri).read_text() or "K-S" in Path(event.report_uri).read_text()
    names = sorted(path.name for path in (Path(site.places.objects) / "rollouts" / "production").iterdir())
    assert names == [f"{n:08}.json" for n in range(1, 8)]


@pytest.mark.parametrize(
    ("behaviour", "said"), [(Behaviour(faults=0.6), "requests failed"), (Behaviour(latency_ms=2_000), "took over")]
)
def test_a_broken_canary_returns_at_ten_percent_by_a_revert(site: RolloutSite, behaviour: Behaviour, said: str) -> None:
    """Errors or slowness: one revert commit restores the file, the verdict says why, and nothing is tried again."""
    site.propose("v1")
    site.stages(2)
    before = site.text()
    site.propose("v2")
    site.stages(2)
    site.both("v1", 100, "v2", 10, behaviour)
    event = site.advance()
    assert event.stage is Stage.RETURNED
    assert (event.stable, event.canary, dict(event.weights)) == ("v1", "v2", {"v1": 100})
    assert said in event.reasons[0]
    assert site.text() == before
    verdict = Verdict.from_json(Path(event.verdict_uri).read_text())
    assert not verdict.passed
    with connect(site.places, site.settings.gitops) as (repository, _):
        assert "This reverts commit" in repository.describe(event.commit).body
    assert site.stages(2) == [None, None]


def test_a_failure_at_fifty_percent_undoes_both_commits(site: RolloutSite) -> None:
    """The way back from a later stage ends where the rollout began."""
    site.rolling()
    site.both("v1", 360, "v2", 45)
    assert site.advance().weights == {"v1": 50, "v2": 50}
    site.both("v1", 100, "v2", 20, Behaviour(faults=0.9))
    assert site.advance().stage is Stage.RETURNED
    assert site.served().weights == {"v1": 100}


def test_a_return_keeps_what_a_person_changed_meanwhile(site: RolloutSite) -> None:
    """An edit made during the rollout survives the return; only the candidate goes."""
    site.rolling()
    site.edit(lambda text: text.replace("minReplicas: 2", "minReplicas: 5"))
    site.both("v1", 100, "v2", 20, Behaviour(faults=0.9))
    assert site.advance().stage is Stage.RETURNED
    assert site.served().weights == {"v1": 100}
    assert "minReplicas: 5" in site.text()


def test_a_dead_canary_returns_at_its_limit(site: RolloutSite) -> None:
    """No answers by the canary: it waits until the limit, then returns."""
    site.rolling()
    site.log("v1", 300)
    assert site.advance(seconds=40) is None
    event = site.advance(seconds=20)
    assert event.stage is Stage.RETURNED
    assert "0 answers by v2 (40 needed)" in event.reasons[0]


def test_shifted_input_alarms_once_and_blames_nobody(site: RolloutSite) -> None:
    """Both versions see other images: one alarm with its report, then patience; once it is over the rollout goes on."""
    site.with_settings(drift=DriftSettings(max_rows=60)).rolling()
    start = site.now
    site.log("v1", 360, Behaviour(statistic_shift=0.3))
    site.now = start
    site.log("v2", 60, Behaviour(statistic_shift=0.3))
    event = site.advance()
    assert event.stage is Stage.DRIFT
    assert "mean" in event.reasons[0]
    assert event.weights == site.served().weights == {"v1": 90, "v2": 10}
    assert "stable-against-its-reference" in event.report_uri
    assert site.advance(seconds=600) is None
    site.both("v1", 360, "v2", 60)
    assert site.advance().weights == {"v1": 50, "v2": 50}


def test_a_candidate_that_cannot_be_replayed_returns(site: RolloutSite) -> None:
    """Stored images go to both versions directly; a candidate that does not answer where the stable does returns."""
    with FakePredictor() as predictor:  # answers as v1, whichever version is asked for
        site.with_settings(replay=ReplaySettings(images=10)).rolling()
        site.places = replace(site.places, production=predictor.url)
        folder = Path(site.places.objects) / "images"
        folder.mkdir()
        for sha256 in (*site.log("v1", 60), *site.log("v2", 45)):
            (folder / sha256).write_bytes(sha256.encode())
        event = site.advance()
    assert event.stage is Stage.RETURNED
    assert "10 of 10 shadow replays failed" in event.reasons[0]


def test_a_person_merges_when_told_to_wait(site: RolloutSite) -> None:
    """With `wait` the driver tells of the request once and merges nothing; a person's merge is seen and recorded."""
    site.with_settings(merge=Merge.WAIT)
    site.propose("v1")
    assert site.stages(3) == [Stage.PROPOSED, None, None]
    assert site.served().stable is None
    with connect(site.places, site.settings.gitops) as (_, requests):
        requests.merge(requests.open_ones()[0])
    event = site.advance()
    assert event.stage is Stage.FIRST
    assert event.pull_request.endswith("promote/production/v1")


def test_a_request_that_drops_the_routed_version_is_not_merged(site: RolloutSite) -> None:
    """The diff is judged as it would merge; a refusal is told once, with its verdict, and others are not held up."""
    site.propose("v1")
    site.stages(2)
    bad = site.bundle.digest
    with connect(site.places, site.settings.gitops) as (repository, _):
        text = repository.read("kserve/production/inferenceservice.yaml") or ""
        repository.start_branch("promote/production/v9")
        dropped = text.replace("name: v1\n", "name: v9\n").replace("value: v1\n", "value: v9\n")
        repository.commit("kserve/production/inferenceservice.yaml", dropped, "Serve v9", at=site.now)
        repository.push("promote/production/v9")
    assert site.stages(1) == [Stage.PROPOSED]
    refused = site.advance()
    assert refused.stage is Stage.WAITING
    assert "v1 gets 100 % of the traffic and would be dropped" in refused.reasons[0]
    assert not Verdict.from_json(Path(refused.verdict_uri).read_text()).passed
    assert site.served().weights == {"v1": 100}
    site.propose("v2")
    assert site.stages(3) == [Stage.PROPOSED, Stage.CANARY, None]
    assert bad in site.text()


def test_a_killed_driver_is_finished_by_the_next_call(site: RolloutSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between its push and the timeline at every stage: the next call writes exactly the missing event."""
    append = Timeline.append
    killed = []

    def die_once(timeline: Timeline, event: TimelineEvent) -> TimelineEvent:
        if event.commit and event.stage is not Stage.PROPOSED and event.commit not in killed:
            killed.append(event.commit)
            raise KeyboardInterrupt
        return append(timeline, event)

    monkeypatch.setattr(Timeline, "append", die_once)

    def step() -> TimelineEvent | None:
        tip = site.text()
        with pytest.raises(KeyboardInterrupt):
            site.advance()
        assert site.text() != tip  # the push went through
        moved = site.text()
        event = site.advance()
        assert site.text() == moved  # the repair pushed nothing
        return event

    site.propose("v1")
    site.advance()
    assert step().stage is Stage.FIRST
    site.propose("v2")
    site.advance()
    assert step().stage is Stage.CANARY
    site.both("v1", 360, "v2", 45)
    assert step().weights == {"v1": 50, "v2": 50}
    site.both("v1", 100, "v2", 45, Behaviour(faults=0.9))
    returned = step()
    assert returned.stage is Stage.RETURNED
    assert returned.reasons
    assert returned.verdict_uri
    assert site.advance() is None
    events = Timeline(site.places.objects, "production").read()
    assert len({event.commit for event in events}) == len(events)


def test_two_drivers_cannot_both_act(site: RolloutSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes second to the push is told to try again, and then finds nothing left to do."""
    from chexpert.gitops.repository import Repository

    site.rolling()
    site.both("v1", 360, "v2", 45)
    push = Repository.push
    raced = []

    def race(repository: Repository, *arguments: object, **keywords: object) -> None:
        if not raced:
            raced.append(True)
            assert site.advance().weights == {"v1": 50, "v2": 50}  # the other driver is faster
        push(repository, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(Repository, "push", race)
    with pytest.raises(RetryableError):
        site.advance()
    assert site.advance() is None
    assert site.served().weights == {"v1": 50, "v2": 50}


def test_history_is_written_into_an_empty_timeline(site: RolloutSite) -> None:
    """Git is the truth: a lost timeline is written again from it, one event a call, and the rollout goes on."""
    site.rolling()
    folder = Path(site.places.objects) / "rollouts" / "production"
    lost = [json.loads(path.read_text())["commit"] for path in sorted(folder.iterdir())]
    for path in folder.iterdir():
        path.unlink()
    events = [site.advance(), site.advance()]
    assert [event.stage for event in events] == [Stage.FIRST, Stage.CANARY]
    assert {event.commit for event in events} <= set(lost)
    site.both("v1", 360, "v2", 45)
    assert site.advance().weights == {"v1": 50, "v2": 50}


def test_a_way_back_by_hand_is_recorded(site: RolloutSite) -> None:
    """After a swap a person may swap again: the driver writes what happened and interferes with nothing."""
    site.rolling()
    for shares in ((360, 45), (200, 200), (0, 200)):
        site.both("v1", shares[0], "v2", shares[1])
        site.advance()
    site.edit(lambda text: promotion.swap(text, "v1"))
    event = site.advance()
    assert (event.stage, event.stable, event.canary) == (Stage.SWAPPED, "v1", "v2")
    assert site.advance() is None
