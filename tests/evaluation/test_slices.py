"""Slices: groups, and figures within them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chexpert.domain.observations import FLAGGABLE, OBSERVATIONS
from chexpert.evaluation.auroc import aurocs
from chexpert.evaluation.inputs import ShapeMismatch, as_labels
from chexpert.evaluation.slices import UNKNOWN, SliceResult, age_group, groups, masks, measure


@pytest.mark.parametrize(
    ("age", "group"),
    [
        (0, UNKNOWN),
        (None, UNKNOWN),
        (float("nan"), UNKNOWN),
        (-3, UNKNOWN),
        (1, "0-39"),
        (39, "0-39"),
        (40, "40-59"),
        (74, "60-74"),
        (75, "75+"),
        (90, "75+"),
        (300, UNKNOWN),
    ],
)
def test_ages_have_their_group(age: float | None, group: str) -> None:
    """The ends belong where they should; age 0, CheXpert's unknown, is no newborn."""
    assert age_group(age) == group


def test_odd_values_are_unknown_and_kept(sample: Callable[..., Any]) -> None:
    """Empty, missing and unreadable values form the group unknown; every image is in one group of each slicing."""
    drawn = sample(6, blank=0.5)
    labels = as_labels(drawn.labels)
    columns = {
        "sex": np.array(["Male", "Female", "", None, " ", float("nan")], dtype=object),
        "age": np.array([30, 64, "old", None, 0, 90], dtype=object),
    }
    named = groups(columns, labels)
    assert named["sex"].tolist() == ["Male", "Female", *[UNKNOWN] * 4]
    assert named["age"].tolist() == ["0-39", "60-74", *[UNKNOWN] * 3, "75+"]
    for slicing in ("sex", "age", "device"):
        rows = [mask for name, _, mask in masks(named) if name == slicing]
        assert np.array(rows).sum(axis=0).tolist() == [1] * 6


def test_a_column_of_another_length_is_refused(sample: Callable[..., Any]) -> None:
    """It names the column."""
    with pytest.raises(ShapeMismatch, match="slice column sex"):
        groups({"sex": ["Male"]}, as_labels(sample(3).labels))


def test_figures_are_those_of_the_groups_images(sample: Callable[..., Any]) -> None:
    """AUROC, sensitivity and counts of a slice are what its images alone give."""
    drawn = sample(600)
    labels, scores = as_labels(drawn.labels), drawn.scores.astype(float)
    group = np.where(np.arange(600) < 200, "a", "b")
    thresholds = dict.fromkeys(FLAGGABLE, 0.3)
    found = measure(labels, scores, drawn.patients, {"half": group}, thresholds, rounds=50, seed=0)
    first = found[0]
    assert (first.slicing, first.group, first.images) == ("half", "a", 200)
    assert first.patients == len(set(drawn.patients[:200]))
    assert first.auroc.estimate == pytest.approx(aurocs(labels[:200], scores[:200]).mean)
    columns = [OBSERVATIONS.index(o) for o in FLAGGABLE]
    flagged, present = scores[:200, columns] >= 0.3, labels[:200, columns] == 1
    assert first.sensitivity.estimate == pytest.approx((flagged & present).sum() / present.sum())
    abnormal = present.any(axis=1)
    assert first.false_no_finding.estimate == pytest.approx((abnormal & ~flagged.any(axis=1)).sum() / abnormal.sum())
    assert SliceResult.from_dict(first.to_dict()) == first


def test_without_points_nothing_is_missed(sample: Callable[..., Any]) -> None:
    """Without operating points sensitivity and the false no-finding rate are not measured, rather than 0 and 1."""
    drawn = sample(50)
    labels = as_labels(drawn.labels)
    (found,) = measure(labels, drawn.scores, drawn.patients, {"all": np.array(["x"] * 50)}, {}, rounds=10, seed=0)
    assert math.isnan(found.sensitivity.estimate)
    assert math.isnan(found.false_no_finding.estimate)
