import json
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexpert.domain.digests import canonical_json, of_bytes, of_few_bytes, of_value
from chexpert.domain.errors import RefusedError
from chexpert.domain.places import MissingPlace, Places
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
texts = st.text(max_size=20)
rows = st.dictionaries(texts, values, max_size=3)


@given(value=values)
def test_digest_does_not_depend_on_key_order(value: Any) -> None:
    """The same value read back and turned round has the same digest."""
    again = json.loads(json.dumps(value))
    if isinstance(again, dict):
        again = dict(reversed(again.items()))
    assert of_value(value) == of_value(again)
    assert len(of_bytes(canonical_json(value))) == 64


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 4094, 4095, 102_400])
def test_a_digest_of_few_bytes_is_the_digest(size: int) -> None:
    """Taken in parts it is the same, of bytes and of an array's memory."""
    data = bytes(at % 251 for at in range(size))
    assert of_few_bytes(data) == of_few_bytes(memoryview(data)) == of_bytes(data)


def test_digest_refuses_what_is_no_json() -> None:
    """NaN has no canonical form."""
    with pytest.raises(ValueError, match="JSON compliant"):
        of_value({"x": float("nan")})


@given(
    failures=st.lists(st.text(min_size=1), max_size=3),
    evidence=st.lists(rows, max_size=3),
    thresholds=st.dictionaries(texts, values, max_size=3),
)
def test_verdict_survives_json(failures: list[str], evidence: list[dict[str, Any]], thresholds: dict[str, Any]) -> None:
    """What is written is what is read; it passes exactly when nothing failed."""
    verdict = Verdict.judge("gate", "v1", failures, otherwise="fine", evidence=evidence, thresholds=thresholds)
    assert verdict.passed == (not failures)
    again = Verdict.from_json(verdict.to_json())
    assert json.loads(again.to_json()) == json.loads(verdict.to_json())
    assert again.reasons == verdict.reasons


def test_a_refusal_without_a_reason_is_refused() -> None:
    """Nobody can act on a bare no."""
    with pytest.raises(ValueError, match="refused v1 without a reason"):
        Verdict("gate", "v1", passed=False, reasons=())


def test_require_passes_and_refuses() -> None:
    """A pass goes on; a refusal stops with its reasons and where the verdict lies."""
    Verdict.judge("gate", "v1", [], otherwise="fine").require()
    with pytest.raises(RefusedError) as caught:
        Verdict.judge("gate", "v1", ["a", "b"], otherwise="fine").require("verdicts/1.json")
    assert caught.value.reasons == ("a", "b")
    assert caught.value.verdict_uri == "verdicts/1.json"


def test_verdicts_cannot_be_changed() -> None:
    """A record is a record."""
    with pytest.raises(FrozenInstanceError):
        Verdict.judge("gate", "v1", [], otherwise="fine").passed = False  # type: ignore[misc]


@given(
    stage=st.sampled_from(Stage),
    weights=st.dictionaries(texts, st.integers(0, 100), max_size=3),
    reasons=st.lists(texts, max_size=3).map(tuple),
    offset=st.integers(-12, 12),
    minutes=st.integers(0, 10**6),
)
def test_timeline_event_survives_json(
    stage: Stage,
    weights: dict[str, int],
    reasons: tuple[str, ...],
    offset: int,
    minutes: int,
) -> None:
    """Time zone, stage, weights and reasons come back equal."""
    time = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=offset))) + timedelta(minutes=minutes)
    event = TimelineEvent(time, "production", stage, "v1", "v2", weights, reasons, verdict_uri="u")
    assert TimelineEvent.from_json(event.to_json()) == event


def test_timeline_refuses_an_unknown_stage() -> None:
    """A word nobody defined is not shown as a stage."""
    text = TimelineEvent(datetime(2026, 1, 1, tzinfo=UTC), "production", Stage.CANARY, "v1", "v2").to_json()
    with pytest.raises(ValueError, match="teleported"):
        TimelineEvent.from_json(text.replace("canary", "teleported", 1))


@given(objects=texts, site=texts)
def test_places_survive_the_environment(objects: str, site: str) -> None:
    """Out to variables and back; empty ones stay away."""
    places = Places(objects=objects, site=site)
    environment = places.to_environment()
    assert Places.from_environment(environment) == places
    assert all(environment.values())


def test_a_missing_place_names_its_variable() -> None:
    """Who asks for an address that is not set learns what to set."""
    with pytest.raises(MissingPlace, match="CHEXPERT_OBJECTS is not set") as caught:
        Places().object("bundles")
    assert caught.value.variable == "CHEXPERT_OBJECTS"
    assert Places(objects="s3://bucket/").object("bundles", "x") == "s3://bucket/bundles/x"
