"""Readers' answers joined with a window by image."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from chexpert.data import label_events
from chexpert.domain.events import FEEDBACK_PREFIX, LabelEvent
from chexpert.domain.labels import Label
from chexpert.domain.observations import Observation
from chexpert.monitoring import answers
from chexpert.monitoring.window import Window

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def event(number: int, image: str, observation: Observation, value: Label, *, minutes: int) -> LabelEvent:
    time = NOON + timedelta(minutes=minutes)
    return LabelEvent(
        event=f"e{number:04}",
        time=time,
        study="s",
        image_sha256=image,
        image_uri=f"images/{image}",
        patient=image,
        observation=observation,
        value=value,
        reader="r",
        role="radiologist",
        opened=time,
        final=True,
        version="v1",
    )


def test_flags_are_joined_with_the_latest_answer(tmp_path: Path) -> None:
    """Of a flag counts the last word on that finding of that image; other findings, images and older days do not."""
    edema, fracture = Observation.EDEMA, Observation.FRACTURE
    label_events.write(
        [
            event(1, "a", edema, 0, minutes=1),
            event(2, "a", edema, 1, minutes=2),
            event(3, "b", edema, 0, minutes=3),
            event(4, "c", fracture, 1, minutes=4),
            event(5, "d", edema, 1, minutes=5),
            event(6, "d", edema, -1, minutes=6),
            event(7, "e", edema, 1, minutes=-60),
        ],
        f"{tmp_path}/{FEEDBACK_PREFIX}",
    )
    said = answers.read(str(tmp_path), NOON)
    window = Window("v2", images=("a", "b", "c", "d", "e", "f", "a"), flags=("Edema",) * 6 + ("Edema",))
    assert answers.score(window, said) == answers.Answers(confirmed=1, denied=1)
    assert answers.score(Window("v1", images=("a",), flags=("",)), said).total == 0


def test_no_feedback_is_no_answers(tmp_path: Path) -> None:
    """Where nobody has answered yet there is nothing to show, and nothing to fail."""
    assert answers.read(str(tmp_path), NOON) == {}
