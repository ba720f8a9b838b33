"""The words of findings and rows, and the steps of a rollout: pure."""

from datetime import UTC, datetime, timedelta

import pytest

from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.predictions import Prediction
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.triage.findings import findings
from chexpert.triage.presenting import probability, wait_words
from chexpert.triage.rollout_page import steps
from chexpert.triage.worklist import Position

MARKS = {str(o): 0.5 for o in OBSERVATIONS}


def _prediction(**scores: float) -> Prediction:
    by_name = {name.replace("_", " "): score for name, score in scores.items()}
    return Prediction("v1", tuple(by_name.get(str(o), 0.0) for o in OBSERVATIONS), 0.0, None)


@pytest.mark.parametrize(
    ("score", "word", "said"),
    [
        (0.2, "not flagged", "absent"),
        (0.46, "borderline", "absent"),
        (0.54, "borderline", "present"),
        (0.9, "flagged", "present"),
    ],
)
def test_a_score_has_a_word_and_a_meaning(score: float, word: str, said: str) -> None:
    """Agreeing means what the model said, also where it is borderline."""
    row = findings([_prediction(Edema=score)], MARKS, "")[OBSERVATIONS.index(Observation.EDEMA)]
    assert (row.word, row.said) == (word, said)


def test_the_studys_flag_is_called_flagged_however_close() -> None:
    """The worklist and the panel never disagree on the flag."""
    row = findings([_prediction(Edema=0.5)], MARKS, "Edema")[OBSERVATIONS.index(Observation.EDEMA)]
    assert (row.word, row.flagged) == ("flagged", True)


def test_normal_is_no_word() -> None:
    """Whatever the scores, with marks or without, no finding is called normal, and a device is present, not flagged."""
    for score in (0.0, 0.3, 0.52, 1.0):
        for marks in (MARKS, {}):
            rows = findings([Prediction("v1", (score,) * 14, 0.0, None)], marks, "")
            assert [row.observation for row in rows] == list(OBSERVATIONS)
            assert all("normal" not in row.word for row in rows)
    devices = findings([_prediction(Support_Devices=0.9)], MARKS, "")[-1]
    assert (devices.word, devices.flagged) == ("present", False)


def test_without_an_answer_nothing_was_said() -> None:
    """Before the model answered there is nothing to agree with."""
    assert {(row.said, row.score, row.word) for row in findings([], MARKS, "")} == {("", None, "")}


def test_the_highest_of_several_images_is_shown() -> None:
    """A finding on one of two views is a finding of the study."""
    row = findings([_prediction(Edema=0.9), _prediction(Edema=0.1)], MARKS, "")[OBSERVATIONS.index(Observation.EDEMA)]
    assert row.score == pytest.approx(0.9)


def test_numbers_read_as_in_a_report() -> None:
    """A probability is never rounded to certainty; waits grow from minutes to days."""
    assert [probability(value) for value in (None, 0.0, 0.934, 0.999, 1.0)] == ["", ".00", ".93", ".99", ".99"]
    waits = [timedelta(), timedelta(minutes=59), timedelta(minutes=124), timedelta(hours=49)]
    assert [wait_words(wait) for wait in waits] == ["0 min", "59 min", "2 h 04", "2 d 1 h"]


def test_a_position_survives_its_link() -> None:
    """A page's end is the next one's start, to the last bit; anything else is refused."""
    position = Position(datetime(2026, 1, 1, tzinfo=UTC), 4, -0.1 - 0.2, datetime(2026, 1, 1, 1, 1, 1, 7, UTC), "ab")
    assert Position.from_text(position.to_text()) == position
    with pytest.raises(ValueError, match="unpack"):
        Position.from_text("1~2")


def _event(minute: int, stage: Stage, percent: int = 0, environment: str = "production") -> TimelineEvent:
    time = datetime(2026, 11, 23, 8, minute, tzinfo=UTC)
    weights = {"v1": 100 - percent, "v2": percent} if percent else {}
    return TimelineEvent(time, environment, stage, "v1", "v2", weights)


@pytest.mark.parametrize(
    ("events", "states"),
    [
        ([], ["", "", "", "", ""]),
        ([_event(1, Stage.CANARY, 10)], ["done", "now", "", "", ""]),
        ([_event(1, Stage.CANARY, 10), _event(2, Stage.DRIFT), _event(3, Stage.WAITING)], ["done", "now", "", "", ""]),
        ([_event(1, Stage.CANARY, 10), _event(2, Stage.CANARY, 50)], ["done", "done", "now", "", ""]),
        ([_event(1, Stage.CANARY, 10), _event(2, Stage.RETURNED)], ["done", "back", "", "", ""]),
        (
            [
                _event(1, Stage.CANARY, 10),
                _event(2, Stage.CANARY, 50),
                _event(3, Stage.CANARY, 100),
                _event(4, Stage.SWAPPED),
            ],
            ["done", "done", "done", "done", "done"],
        ),
        (
            [_event(1, Stage.CANARY, 50), _event(2, Stage.RETURNED), _event(3, Stage.CANARY, 10)],
            ["done", "now", "", "", ""],
        ),
    ],
    ids=["nothing", "10", "drift waits", "50", "returned", "swapped", "the next rollout"],
)
def test_steps_stand_where_the_rollout_does(events: list[TimelineEvent], states: list[str]) -> None:
    """Done, now, back: of the newest rollout only; an alarm or a wait moves nothing."""
    staging = [_event(0, Stage.FIRST, environment="staging")]
    assert [step["state"] for step in steps(events, staging)] == states
