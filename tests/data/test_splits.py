from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chexpert.data.manifest import Manifest
from chexpert.data.splits import EVALUATION_SPLITS, FRACTIONS, SPLITS, assign, keep_apart, split_of

keys = st.lists(
    st.tuples(
        st.sampled_from(["p1", "p2", "p3", "p4"]), st.sampled_from(["", "a", "b", "c", "d"]), st.sampled_from(SPLITS)
    ),
    max_size=12,
)


EXPECTED = [
    "train",
    "tune",
    "calibration",
    "train",
    "calibration",
    "train",
    "train",
    "train",
    "train",
    "tune",
    "train",
    "train",
]


def manifest(rows: list[tuple[str, str, str]]) -> Manifest:
    columns = dict(zip(("patient", "sha256", "split"), zip(*rows, strict=True), strict=True)) if rows else {}
    return Manifest.of({name: list(values) for name, values in columns.items()}, len(rows))


@given(patient=st.text())
def test_a_patient_has_one_split_for_ever(patient: str) -> None:
    """The split is a function of the key alone, never `valid`, which CheXpert chose itself."""
    assert split_of(patient) == split_of(patient)
    assert split_of(patient) in SPLITS[:3]


def test_known_patients_stay_where_they_are() -> None:
    """The salt and the rule are frozen: a change here moves patients between splits."""
    assert assign([f"patient{n:05}" for n in range(1, 13)]) == EXPECTED


def test_shares_are_as_stated() -> None:
    """Over many patients each split has its share."""
    counts = Counter(assign([f"patient{n:05}" for n in range(20_000)]))
    for split, share in zip(SPLITS, FRACTIONS, strict=False):
        assert abs(counts[split] / 20_000 - share) < 0.01


@settings(deadline=None)
@given(rows=keys)
def test_nobody_stands_in_two_splits(rows: list[tuple[str, str, str]]) -> None:
    """Afterwards a patient is in one split, and an image of an evaluation split is in no training row."""
    kept, refusals = keep_apart(manifest(rows))
    by_patient: dict[str, set[str]] = {}
    by_image: dict[str, set[str]] = {}
    for patient, sha256, split in zip(*(kept.column(n) for n in ("patient", "sha256", "split")), strict=True):
        by_patient.setdefault(patient, set()).add(split)
        if sha256:
            by_image.setdefault(sha256, set()).add(split)
    assert all(len(splits) == 1 for splits in by_patient.values())
    assert all(len(splits) == 1 for splits in by_image.values())
    assert len(kept) + len(refusals) == len(rows)
    assert all(" is in " in refusal.reason for refusal in refusals)


@settings(deadline=None)
@given(rows=keys)
def test_only_conflicts_are_left_out(rows: list[tuple[str, str, str]]) -> None:
    """A row whose patient and image are in one split alone stays, in its order."""
    whole = manifest(rows)
    kept, _ = keep_apart(whole)
    free = [
        row
        for row in rows
        if all(other[2] == row[2] for other in rows if other[0] == row[0] or (other[1] == row[1] and row[1]))
    ]
    left = list(zip(*(kept.column(n) for n in ("patient", "sha256", "split")), strict=True))
    assert Counter(free) <= Counter(left)


def test_the_evaluation_side_keeps_the_image() -> None:
    """Of a shared image the training row goes, with both places in the reason; without a checksum nothing is shared."""
    kept, refusals = keep_apart(
        manifest([("p1", "a", "train"), ("p2", "a", "valid"), ("p3", "", "train"), ("p4", "", "tune")])
    )
    assert list(kept.column("patient")) == ["p2", "p3", "p4"]
    assert [refusal.reason for refusal in refusals] == ["the same image is in valid, the row in train"]
    np.testing.assert_array_equal(kept.rows("valid"), [0])
    assert "train" not in EVALUATION_SPLITS
