"""An evaluation as one HTML file that needs nothing else: verdict, curves, calibration, slices, special batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chexpert.domain.verdicts import Verdict
from chexpert.evaluation import plots
from chexpert.evaluation.bootstrap import Interval
from chexpert.evaluation.evaluation import Evaluation, Rows
from chexpert.evaluation.page import MISSING, document, figure, number, section, table, text
from chexpert.evaluation.special import special_batch

__all__ = ["render"]


def render(
    candidate: Evaluation,
    *,
    baseline: Evaluation | None = None,
    incumbent: Evaluation | None = None,
    verdict: Verdict | None = None,
    names: Sequence[str] = (),
    title: str = "",
) -> str:
    """The page as HTML; curves need evaluations that still hold their rows.

    Args:
        candidate: Whose report it is.
        baseline: The shortcut baseline on the same images.
        incumbent: The served model on the same images.
        verdict: Of the gate.
        names: Of the rows, such as sha256, for the special batch; empty: no special batch.
        title: Empty: the candidate's name.
    """
    others = [each for each in (baseline, incumbent) if each is not None]
    heading = title or f"Evaluation of {candidate.name}"
    parts = [_head(candidate, heading)]
    if verdict is not None:
        parts.append(_verdict(verdict))
    parts += _discrimination(candidate, others)
    if candidate.rows is not None and candidate.counted:
        key = f"ECE {number(candidate.expected_error)}, mean over these; ten bins of equal size, dashed: perfect."
        parts.append(section("Calibration", figure(plots.reliability_plots(candidate), key)))
    parts += [_operating_points(candidate), _slices(candidate)]
    if candidate.rows is not None and len(names):
        parts.append(_special(candidate.rows, names))
    return document(heading, parts)


def _head(candidate: Evaluation, heading: str) -> str:
    facts = (
        f"{candidate.images} images of {candidate.patients} patients. Mean AUROC {candidate.mean} over "
        f"{len(candidate.counted)} observations with at least 5 positives and 5 negatives; five competition tasks "
        f"{candidate.competition}. Intervals: 95 %, {candidate.rounds} resamples of patients."
    )
    note = "Research use, not for diagnosis."
    return f'<h1>{text(heading)}</h1><p>{text(facts)}</p><p class="soft">{note}</p>'


def _verdict(verdict: Verdict) -> str:
    word = "passed" if verdict.passed else "refused"
    reasons = "".join(f"<p>{text(reason)}</p>" for reason in verdict.reasons)
    banner = f'<div class="verdict {word}"><b>{word} by {text(verdict.gate)}</b>{reasons}</div>'
    rows = [
        [
            row.get("check"),
            row.get("floor"),
            "passed" if row.get("passed") else "refused",
            *(number(row.get(name)) for name in ("value", "low", "high")),
        ]
        for row in verdict.evidence
    ]
    columns = ("check", "floor", "verdict", "value", "low", "high")
    return banner + (section("Evidence", table(columns, rows, words=3)) if rows else "")


def _discrimination(candidate: Evaluation, others: Sequence[Evaluation]) -> Iterator[str]:
    shown = zip(plots.KINDS, [candidate, *others], strict=False)
    key = ", ".join(f'<span class="{kind}">■</span> {text(each.name)} (mean {text(each.mean)})' for kind, each in shown)
    counts = "Beside each name: positives / negatives."
    yield section("AUROC", figure(plots.auroc_plot(candidate, others), f"{key}. {counts}"))
    if candidate.rows is not None and candidate.counted:
        yield section("ROC curves", figure(plots.roc_plots(candidate, others), key))


def _operating_points(candidate: Evaluation) -> str:
    rows: list[list[Any]] = []
    for label in candidate.labels:
        decided = label.decisions
        if decided is None or label.threshold is None:
            rows.append([label.observation, "never flagged", *[""] * 8])
            continue
        rows.append(
            [
                label.observation,
                number(label.threshold),
                _interval(decided.sensitivity_interval),
                *(number(value) for value in (decided.specificity, decided.precision, decided.f1)),
                decided.true_positives,
                decided.false_negatives,
                decided.false_positives,
                decided.true_negatives,
            ],
        )
    counts = ("found", "missed", "false alarms", "true negatives")
    columns = ("observation", "threshold", "sensitivity", "specificity", "precision", "F1", *counts)
    note = "<p class='soft'>Thresholds were frozen on the calibration split; these are other images.</p>"
    return section("Operating points", note, table(columns, rows))


def _slices(candidate: Evaluation) -> str:
    rows = [
        [
            each.slicing,
            each.group,
            each.images,
            each.patients,
            _interval(each.auroc),
            _interval(each.sensitivity),
            _interval(each.false_no_finding),
        ]
        for each in candidate.slices
    ]
    columns = ("slice", "group", "images", "patients", "mean AUROC", "sensitivity", "false no finding")
    note = (
        "<p class='soft'>False no finding: share of the images with a finding on which nothing is flagged. A group's "
        "mean is over the observations that have 5 positives and 5 negatives in it: groups differ in these.</p>"
    )
    return section("Slices", note, table(columns, rows, words=2))


def _special(images: Rows, names: Sequence[str]) -> str:
    rows = [
        [mistake.name, mistake.observation, "present" if mistake.present else "absent", number(mistake.score)]
        for mistake in special_batch(images, names)
    ]
    note = "<p class='soft'>The images it is most wrong about, or whose label is: look at them.</p>"
    return section("Special batch", note, table(("image", "observation", "label", "score"), rows, words=3))


def _interval(interval: Interval) -> str:
    return MISSING if np.isnan(interval.estimate) else str(interval)
