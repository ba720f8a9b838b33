from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chexpert.data import label_events
from chexpert.data.errors import UnreadableData
from chexpert.data.increments import extend, extend_by
from chexpert.data.manifest import Manifest
from chexpert.data.splits import EVALUATION_SPLITS, split_of
from chexpert.domain.events import LabelEvent
from chexpert.domain.observations import OBSERVATIONS, Observation

Event = Callable[..., LabelEvent]

TRAIN = [f"t{n}" for n in range(60) if split_of(f"t{n}") == "train"]
HELD_OUT = [f"t{n}" for n in range(60) if split_of(f"t{n}") in EVALUATION_SPLITS]
START = datetime(2026, 11, 22, tzinfo=UTC)


def base(**columns: list[str]) -> Manifest:
    given_columns = {"sha256": ["1" * 64, "2" * 64], "patient": [TRAIN[0], "elsewhere"], "split": ["train", "valid"]}
    return Manifest.of({**given_columns, **columns}, 2)


def labels_of(manifest: Manifest, row: int) -> dict[Observation, float]:
    return dict(zip(OBSERVATIONS, manifest.labels()[row], strict=True))


def test_answers_become_training_rows(event: Event) -> None:
    """Each answered image is one row of source feedback with exactly what was said of it."""
    events = [
        event(1, patient=TRAIN[1], value=1),
        event(2, patient=TRAIN[1], observation=Observation.FRACTURE, value=-1),
        event(3, patient=TRAIN[1], observation=Observation.PNEUMONIA, value=None),
        event(4, patient=TRAIN[2], image_sha256="b" * 64, value=0),
    ]
    manifest, increment = extend_by(base(), events)
    assert (increment.new_labels, increment.rows, increment.refused) == (3, 2, ())
    assert increment.counts == {Observation.EDEMA: 2, Observation.FRACTURE: 1}
    assert list(manifest.column("source"))[2:] == ["feedback", "feedback"]
    assert list(manifest.column("split"))[2:] == ["train", "train"]
    said = labels_of(manifest, 2)
    assert (said[Observation.EDEMA], said[Observation.FRACTURE]) == (1, -1)
    assert np.isnan(said[Observation.PNEUMONIA])


def test_the_latest_answer_stands(event: Event) -> None:
    """A corrected answer replaces the earlier one, in whatever order the parts are read."""
    events = [event(5, patient=TRAIN[1], value=0), event(1, patient=TRAIN[1], value=1)]
    manifest, increment = extend_by(base(), events)
    assert labels_of(manifest, 2)[Observation.EDEMA] == 0
    assert increment.new_labels == 1


def test_a_skip_takes_an_answer_back(event: Event) -> None:
    """Skipped later means nothing is said, so nothing is learnt."""
    manifest, increment = extend_by(base(), [event(1, patient=TRAIN[1]), event(2, patient=TRAIN[1], value=None)])
    assert (len(manifest), increment.new_labels) == (2, 0)


@pytest.mark.parametrize("change", [{"final": False}, {"opened": None}])
def test_unsigned_or_unseen_is_no_training_label(event: Event, change: dict[str, object]) -> None:
    """An answer without an opened image, or in a study never signed, adds no row, and is no refusal either."""
    manifest, increment = extend_by(base(), [event(1, patient=TRAIN[1], **change)])
    assert (len(manifest), increment.rows, increment.refused) == (2, 0, ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_sha256": "2" * 64, "patient": TRAIN[1]}, "the image stands in the evaluation split valid"),
        ({"patient": "elsewhere"}, "patient elsewhere stands in the evaluation split valid"),
        ({"patient": HELD_OUT[0]}, f"patient {HELD_OUT[0]} belongs to the evaluation split"),
    ],
)
def test_what_evaluation_uses_is_refused(event: Event, change: dict[str, str], reason: str) -> None:
    """Image, patient by row and patient by hash: each is refused by name, and its twin is taken."""
    manifest, increment = extend_by(base(), [event(1, **change), event(2, patient=TRAIN[1], image_sha256="c" * 64)])
    (refusal,) = increment.refused
    assert reason in refusal.reason
    assert refusal.study == "s1"
    assert refusal.sha256 == change.get("image_sha256", "a" * 64)
    assert list(manifest.column("sha256"))[2:] == ["c" * 64]


def test_one_image_under_two_patients_follows_the_stricter(event: Event) -> None:
    """An image sent again under another key is still the held-out patient's."""
    events = [event(1, patient=TRAIN[1]), event(2, patient=HELD_OUT[0])]
    _, increment = extend_by(base(), events)
    assert increment.rows == 0
    assert len(increment.refused) == 1


def test_an_answer_replaces_the_report_of_a_training_image(event: Event) -> None:
    """One row per image: what else was known of it stays, what the reader said replaces the report."""
    known = base().replaced("Edema", [0, 0]).replaced("Fracture", [1, 0])
    manifest, increment = extend_by(known, [event(1, image_sha256="1" * 64, patient=TRAIN[3], value=1)])
    assert len(manifest) == 2
    said = labels_of(manifest, 1)
    assert (said[Observation.EDEMA], said[Observation.FRACTURE]) == (1, 1)
    assert manifest.column("patient")[1] == TRAIN[0]
    assert increment.rows == 1


@settings(deadline=None, max_examples=60)
@given(
    answers=st.lists(
        st.tuples(
            st.integers(0, 50),
            st.sampled_from([*TRAIN[:4], *HELD_OUT[:3], "elsewhere"]),
            st.sampled_from(["1" * 64, "2" * 64, "a" * 64, "b" * 64, "c" * 64]),
            st.sampled_from([1, 0, -1, None]),
            st.booleans(),
        ),
        max_size=15,
    ),
)
def test_no_answers_let_evaluation_into_training(answers: list[tuple[int, str, str, int | None, bool]]) -> None:
    """Whatever is answered: evaluation rows unchanged, none of their images or patients in train."""
    events = [
        LabelEvent(
            f"e{n}", START + timedelta(minutes=m), "s", sha, "u", p, Observation.EDEMA, v, "r", "x", START, final, ""
        )
        for n, (m, p, sha, v, final) in enumerate(answers)
    ]
    before = base()
    manifest, increment = extend_by(before, events)
    held = {
        sha for sha, split in zip(manifest.column("sha256"), manifest.column("split"), strict=True) if split != "train"
    }
    trained = manifest.select(manifest.rows("train"))
    assert not held & set(trained.column("sha256"))
    assert not {"elsewhere", *HELD_OUT} & set(trained.column("patient"))
    assert manifest.select(manifest.rows("valid")).digest == before.select([1]).digest
    assert len(set(trained.column("sha256"))) == len(trained)
    assert increment.new_labels == sum(increment.counts.values())


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_events_survive_parquet(event: Event, tmp_path: Path, scheme: str) -> None:
    """All fields come back, oldest first, each once although a part was written twice and parts overlap."""
    uri = f"{scheme}{tmp_path}/feedback"
    events = [
        event(1),
        event(2, value=None, opened=None, final=False),
        event(3, observation=Observation.FRACTURE, value=-1),
    ]
    part = label_events.write(events[1:], uri)
    assert part.endswith("feedback/2026-11-22/e0002-e0003.parquet")
    assert label_events.write(events[1:], uri) == part
    label_events.write(events[:2], uri)
    assert label_events.read(uri) == events
    manifest, increment = extend(base(patient=[TRAIN[0], "x"]), uri)
    assert (increment.new_labels, len(manifest)) == (2, 3)


def test_no_folder_means_no_events(tmp_path: Path) -> None:
    """Before the first export there is nothing to learn, and nothing wrong."""
    assert label_events.read(str(tmp_path / "feedback")) == []
    manifest, increment = extend(base(), str(tmp_path / "feedback"))
    assert (len(manifest), increment.new_labels) == (2, 0)


def test_broken_parts_and_empty_parts_are_refused(event: Event, tmp_path: Path) -> None:
    """A damaged part is named instead of losing its labels; a part of nothing is not written."""
    part = Path(label_events.write([event(1)], str(tmp_path)))
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(UnreadableData, match=r"e0001-e0001.parquet: no part of label events"):
        label_events.read(str(tmp_path))
    with pytest.raises(UnreadableData, match="no label events"):
        label_events.write([], str(tmp_path))


def test_an_unknown_observation_is_refused(event: Event, tmp_path: Path) -> None:
    """A label of something the house does not know is no label."""
    odd = replace(event(1))
    object.__setattr__(odd, "observation", "Halo")
    label_events.write([odd], str(tmp_path))
    with pytest.raises(UnreadableData, match="Halo"):
        label_events.read(str(tmp_path))
