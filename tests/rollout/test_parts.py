"""The driver's parts: timeline, messages, settings."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chexpert.domain.places import Places
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.pipeline.driver import message
from chexpert.pipeline.driver.message import Trailers
from chexpert.pipeline.driver.settings import BadStages, Merge, Profile, RolloutSettings, UnknownWord
from chexpert.pipeline.driver.timeline import BrokenEvent, NumberTaken, Timeline

EVENT = TimelineEvent(datetime(2026, 5, 1, tzinfo=UTC), "production", Stage.FIRST, "v1", "")


def test_events_are_numbered_and_never_overwritten(tmp_path: Path) -> None:
    """Eight digits, in order; a number that someone else took meanwhile is a RetryableError, and theirs stays."""
    timeline = Timeline(str(tmp_path), "production")
    timeline.append(EVENT)
    timeline.append(EVENT)
    folder = tmp_path / "rollouts" / "production"
    assert sorted(path.name for path in folder.iterdir()) == ["00000001.json", "00000002.json"]
    assert timeline.read() == (EVENT, EVENT)

    class Slow(Timeline):
        def _paths(self) -> list[str]:
            return super()._paths()[:1]

    before = (folder / "00000002.json").read_bytes()
    with pytest.raises(NumberTaken, match="00000002"):
        Slow(str(tmp_path), "production").append(EVENT)
    assert (folder / "00000002.json").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


def test_an_object_that_is_no_event_is_named(tmp_path: Path) -> None:
    """A foreign file in the timeline stops the driver with its name; no timeline is an empty one."""
    assert Timeline(str(tmp_path), "production").read() == ()
    folder = tmp_path / "rollouts" / "production"
    folder.mkdir(parents=True)
    (folder / "00000001.json").write_text("{}")
    with pytest.raises(BrokenEvent, match=r"00000001\.json"):
        Timeline(str(tmp_path), "production").read()


def test_a_commit_message_carries_its_grounds() -> None:
    """What is composed is read back; a reason of several lines becomes one; a person's words carry none."""
    trailers = Trailers(("too slow:\n  2 s", "flags differ"), "verdicts/1.json", "reports/1.html")
    text = message.compose("Return v2", trailers, reverted=("abc",))
    read = message.read(text.partition("\n\n")[2])
    assert read == Trailers(("too slow: 2 s", "flags differ"), "verdicts/1.json", "reports/1.html")
    assert "This reverts commit abc." in text
    assert message.read("By hand") == Trailers()


def test_stages_rise_to_the_whole() -> None:
    """A ramp ends at 100 %: the swap is safe only there."""
    assert RolloutSettings(stages=(100,)).after(100) is None
    assert RolloutSettings().after(10) == 50
    for stages in ((), (10, 50), (50, 10, 100), (0, 100)):
        with pytest.raises(BadStages):
            RolloutSettings(stages=stages)


def test_the_demo_needs_less_than_production() -> None:
    """Profiles differ in numbers only; nothing is merged without a person unless asked."""
    demo, production = (RolloutSettings.of(profile) for profile in (Profile.DEMO, Profile.PRODUCTION))
    assert demo.thresholds.min_requests < production.thresholds.min_requests
    assert demo.merge is production.merge is Merge.WAIT
    assert demo.stages == production.stages


def test_github_is_used_only_with_a_token() -> None:
    """The process environment names the home of pull requests; without a token it is git alone."""
    places = Places(gitops="https://github.com/owner/name.git")
    assert RolloutSettings().connected(places, {}).gitops.github is None
    found = RolloutSettings().connected(places, {"CHEXPERT_GITHUB_TOKEN": "t"}).gitops.github
    assert found is not None
    assert (found.repository, found.api_url) == ("owner/name", "https://api.github.com")


def test_words_of_a_parameter_are_known_or_refused() -> None:
    """A workflow's parameter becomes a setting by its word; a misspelt one is refused with those that exist."""
    assert Profile.named("demo") is Profile.DEMO
    with pytest.raises(UnknownWord, match="auto or wait"):
        Merge.named("always")
