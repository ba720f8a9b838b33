"""The evaluation itself, its JSON, its report and the special batch."""

import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation import calibration, operating
from chexpert.evaluation.evaluation import Evaluation, evaluate
from chexpert.evaluation.inputs import ShapeMismatch
from chexpert.evaluation.report import render
from chexpert.evaluation.special import special_batch

VOID = {"meta", "line", "circle", "polyline", "rect"}


class Structure(HTMLParser):
    """Holds every tag to its end, and keeps what would load or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.active: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open."""
        self.active += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "onload"}]
        if tag in {"script", "img", "link", "iframe"}:
            self.active.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text, unescaped."""
        self.words.append(data)


def read(html: str) -> Structure:
    page = Structure()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


@pytest.fixture
def evaluation(sample: Callable[..., Any]) -> Evaluation:
    drawn = sample(300)
    drawn.labels[:, OBSERVATIONS.index(Observation.FRACTURE)] = 0
    points = operating.choose(drawn.labels, drawn.scores)
    columns = {"sex": np.where(np.arange(300) % 2 == 0, "Female", "<b>Male"), "age": np.arange(300) % 91}
    return evaluate(
        drawn.labels,
        drawn.scores,
        drawn.patients,
        operating_points=points,
        columns=columns,
        rounds=50,
    )


def test_it_survives_json_without_its_rows(evaluation: Evaluation) -> None:
    """Everything but the rows comes back, and NaN travels as null."""
    text = evaluation.to_json()
    again = Evaluation.from_json(text)
    assert again.rows is None
    assert again.to_json() == text
    fracture = json.loads(text)["labels"][OBSERVATIONS.index(Observation.FRACTURE)]
    assert fracture["auroc"] == {"estimate": None, "low": None, "high": None}
    assert (fracture["positives"], fracture["negatives"]) == (0, 300)
    assert fracture["decisions"] is None


def test_metrics_are_flat(evaluation: Evaluation) -> None:
    """One figure per name, None where a class is missing."""
    metrics = evaluation.metrics()
    assert metrics["auroc/mean"] == evaluation.mean.estimate
    assert metrics["auroc/Fracture"] is None
    assert metrics["calibration/expected error"] == pytest.approx(
        np.mean([label.expected_error for label in evaluation.counted]),
    )


def test_figures_of_a_label_are_those_of_its_column(evaluation: Evaluation) -> None:
    """Counts, threshold, Brier and decisions belong to the observation they stand at."""
    rows = evaluation.rows
    assert rows is not None
    edema = evaluation.labels[OBSERVATIONS.index(Observation.EDEMA)]
    labels, scores = rows.labels[:, 5], rows.scores[:, 5]
    assert edema.positives == (labels == 1).sum()
    assert edema.brier == calibration.brier(labels, scores)
    assert edema.decisions is not None
    assert edema.decisions.true_positives == ((scores >= edema.threshold) & (labels == 1)).sum()
    assert not math.isnan(edema.auroc.low)


def test_the_report_is_whole_and_self_contained(evaluation: Evaluation) -> None:
    """Every section is there, every tag closed, nothing is loaded or run, and foreign text is escaped."""
    verdict = Verdict(
        "evaluation",
        "x",
        passed=False,
        reasons=("<script>alert(1)</script>",),
        evidence=(
            {"check": "mean AUROC", "value": 0.8, "low": None, "high": 0.9, "floor": "low > 0.9", "passed": False},
        ),
    )
    names = [f"image {row} & co" for row in range(300)]
    html = render(evaluation, baseline=evaluation, incumbent=evaluation, verdict=verdict, names=names)
    page = read(html)
    assert page.active == []
    words = " ".join(page.words)
    headings = ("Evidence", "AUROC", "ROC curves", "Calibration", "Operating points", "Slices", "Special batch")
    for heading in headings:
        assert f"<h2>{heading}</h2>" in html
    assert "<script>alert(1)</script>" in words
    assert "<b>Male" in words
    assert "never flagged" in words
    assert html.count("<polyline") == 3 * 13 + 13


def test_a_report_of_stored_figures_has_no_curves(evaluation: Evaluation) -> None:
    """Without rows the tables remain."""
    html = render(Evaluation.from_json(evaluation.to_json()))
    read(html)
    assert "<h2>Slices</h2>" in html
    assert "<h2>ROC curves</h2>" not in html


def test_the_special_batch_holds_planted_mistakes(sample: Callable[..., Any]) -> None:
    """Images whose label was turned around come first, also of rare observations; right ones never come."""
    drawn = sample(400, strength=6.0)
    planted = {7: OBSERVATIONS.index(Observation.LUNG_OPACITY), 9: OBSERVATIONS.index(Observation.EDEMA)}
    for row, column in planted.items():
        drawn.labels[row, column] = 1 - drawn.labels[row, column]
    found = evaluate(drawn.labels, drawn.scores, drawn.patients, rounds=10)
    assert found.rows is not None
    batch = special_batch(found.rows, [str(row) for row in range(400)], count=2)
    assert {(int(each.name), OBSERVATIONS.index(each.observation)) for each in batch} == set(planted.items())
    right = evaluate(drawn.labels, np.nan_to_num(drawn.labels), drawn.patients, rounds=10)
    assert right.rows is not None
    assert special_batch(right.rows, [""] * 400) == ()
    with pytest.raises(ShapeMismatch, match="names"):
        special_batch(right.rows, ["one"])
