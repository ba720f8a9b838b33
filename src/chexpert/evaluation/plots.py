"""Drawings of a report, as inline SVG: they follow the page's colours and need no plotting library."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from chexpert.evaluation import calibration
from chexpert.evaluation.auroc import roc_curve
from chexpert.evaluation.evaluation import Evaluation, Rows
from chexpert.evaluation.inputs import Floats
from chexpert.evaluation.page import number, text

__all__ = ["KINDS", "auroc_plot", "reliability_plots", "roc_plots"]

_LEFT, _RIGHT, _ROW = 300, 760, 21
_PANEL, _GAP, _ACROSS = 116, 24, 7

KINDS: Final = ("own", "other", "third")
"""Style classes of the candidate and of at most two others, in order."""

Panel = Callable[[int], str]


def auroc_plot(candidate: Evaluation, others: Sequence[Evaluation]) -> str:
    """One row per observation: AUROC with its interval, and the others' as hollow dots."""
    names = [*(str(label.observation) for label in candidate.labels), "mean"]
    own = [*(label.auroc for label in candidate.labels), candidate.mean]
    height = _ROW * len(names) + 40
    parts = [
        f'<line class="axis" x1="{_x(tick)}" x2="{_x(tick)}" y1="6" y2="{height - 30}"/>'
        f'<text class="soft" x="{_x(tick)}" y="{height - 14}" text-anchor="middle">{tick:.1f}</text>'
        for tick in np.linspace(0.3, 1.0, 8)
    ]
    for place, (name, interval) in enumerate(zip(names, own, strict=True)):
        y = 18 + place * _ROW
        parts.append(f'<text x="0" y="{y + 4}">{text(name)}</text>')
        if place < len(candidate.labels):
            label = candidate.labels[place]
            counts = f"{label.positives} / {label.negatives}"
            parts.append(f'<text class="soft" x="{_LEFT - 24}" y="{y + 4}" text-anchor="end">{counts}</text>')
        for kind, other in zip(KINDS[1:], others, strict=False):
            value = other.labels[place].auroc.estimate if place < len(other.labels) else other.mean.estimate
            if not np.isnan(value):
                parts.append(f'<circle class="{kind} dot" cx="{_x(value)}" cy="{y}" r="4"/>')
        if np.isnan(interval.estimate):
            parts.append(f'<text class="soft" x="{_x(0.5)}" y="{y + 4}">a class is missing</text>')
            continue
        parts.append(f'<line class="own" x1="{_x(interval.low)}" x2="{_x(interval.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="own dot" cx="{_x(interval.estimate)}" cy="{y}" r="4"/>')
        parts.append(f'<text class="soft" x="{_RIGHT + 14}" y="{y + 4}">{number(interval.estimate)}</text>')
    return _svg(_RIGHT + 60, height, parts)


def roc_plots(candidate: Evaluation, others: Sequence[Evaluation]) -> str:
    """One small ROC curve per observation of the mean."""

    def panel(column: int) -> str:
        lines = [_roc_line(other.rows, column, kind) for kind, other in zip(KINDS[1:], others, strict=False)]
        return _diagonal() + "".join(lines) + _roc_line(candidate.rows, column, "own")

    return _grid(candidate, panel)


def reliability_plots(candidate: Evaluation) -> str:
    """Per observation of the mean: share of positives over mean score, in bins of equal size."""

    def panel(column: int) -> str:
        if candidate.rows is None:
            return _diagonal()
        bins = calibration.reliability(candidate.rows.labels[:, column], candidate.rows.scores[:, column])
        dots = [
            f'<circle class="own dot" cx="{predicted * _PANEL:.1f}" cy="{(1 - observed) * _PANEL:.1f}" r="2.5"/>'
            for predicted, observed in zip(bins.predicted, bins.observed, strict=True)
        ]
        return _diagonal() + _line(bins.predicted, bins.observed, "own") + "".join(dots)

    return _grid(candidate, panel)


def _grid(candidate: Evaluation, panel: Panel) -> str:
    """Panels of the counted observations, each under its name."""
    shown = {label.observation for label in candidate.counted}
    columns = [c for c, label in enumerate(candidate.labels) if label.observation in shown]
    parts = []
    for place, column in enumerate(columns):
        x, y = (place % _ACROSS) * (_PANEL + _GAP), (place // _ACROSS) * (_PANEL + 40)
        frame = f'<rect class="axis" width="{_PANEL}" height="{_PANEL}"/>'
        name = f'<text x="0" y="-5">{text(_short(str(candidate.labels[column].observation)))}</text>'
        parts.append(f'<g transform="translate({x},{y + 16})">{name}{frame}{panel(column)}</g>')
    lines = -(-len(columns) // _ACROSS)
    return _svg(_ACROSS * (_PANEL + _GAP), max(1, lines) * (_PANEL + 40), parts)


def _roc_line(rows: Rows | None, column: int, kind: str) -> str:
    if rows is None:
        return ""
    false, true = roc_curve(rows.labels[:, column], rows.scores[:, column])
    # 200 points draw the same line as 25,000, in a page of kilobytes.
    kept = np.unique(np.linspace(0, max(0, len(false) - 1), 200).astype(int))[: len(false)]
    return _line(false[kept], true[kept], kind)


def _line(x: Floats, y: Floats, kind: str) -> str:
    points = " ".join(f"{a * _PANEL:.1f},{(1 - b) * _PANEL:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline class="{kind}" stroke-width="1.4" points="{points}"/>'


def _diagonal() -> str:
    return f'<line class="axis" x1="0" y1="{_PANEL}" x2="{_PANEL}" y2="0" stroke-dasharray="3 3"/>'


def _short(name: str) -> str:
    return name.replace("Enlarged Cardiomediastinum", "Enl. Cardiomediast.")


def _x(value: float) -> float:
    """Place of an AUROC between .3 and 1; lower ones stand at the edge."""
    return round(_LEFT + (max(value, 0.3) - 0.3) / 0.7 * (_RIGHT - _LEFT), 1)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="-4 0 {width} {height}" width="{width}" role="img">{"".join(parts)}</svg>'
