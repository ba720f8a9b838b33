"""A comparison as one HTML page that stands alone: verdict, table, and drawings as inline SVG."""

from collections.abc import Callable, Sequence
from typing import Final

from chexpert.evaluation.page import MISSING, document, figure, number, section, table, text
from chexpert.optimise.choice import VariantComparison, VariantRow

__all__ = ["COLUMNS", "cells", "page"]

COLUMNS: Final = (
    "variant",
    "runtime",
    "MB",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "images/s",
    "images/s together",
    "parity",
    "largest change",
    "AUROC change",
    "flags alike",
)
"""Heads of `cells`. Images per second of runs of one image, and of the largest run that was measured."""

_LEFT, _WIDTH, _ROW = 180, 560, 26


def page(comparison: VariantComparison) -> str:
    """HTML; all text is escaped."""
    rows = [row for row in comparison.rows if not row.unavailable]
    verdict = comparison.verdict
    word = "passed" if verdict.passed else "refused"
    batches = sorted({batch for row in rows for batch in row.images_per_s})
    outcomes = [(row.name, row.lost or "served") for row in comparison.rows]
    rates = [(row.name, *(number(row.images_per_s.get(batch), 1) for batch in batches)) for row in rows]
    return document(
        f"Variants of {verdict.subject[:12]}",
        [
            f"<h1>Variants of {text(verdict.subject[:12])}</h1>",
            f'<div class="verdict {word}"><b>{word}</b></div>',
            section("Outcome", table(("variant", "why"), outcomes, words=2)),
            section("Figures", table(COLUMNS, [cells(row) for row in comparison.rows], words=2)),
            section("Latency of one image", figure(_latencies(rows), "Bar: median; line: to the 99th percentile. ms.")),
            section(
                "Images per second, by the images of one run",
                figure(_bars(rows, batches)),
                table(("variant", *map(str, batches)), rates),
            ),
            section("Change of mean AUROC", figure(_changes(rows), "Against fp32, with its 95 % interval.")),
            '<p class="soft">Measured in turns, on the machine that wrote this page.</p>',
        ],
    )


def cells(row: VariantRow) -> tuple[str, ...]:
    """One row under COLUMNS, rounded for reading."""
    change = row.auroc_change
    measured = not row.unavailable
    most = max(row.images_per_s, default=0)
    return (
        row.name,
        row.runtime,
        f"{row.size_bytes / 1e6:.1f}",
        number(row.latency_ms_p50, 2),
        number(row.latency_ms_p95, 2),
        number(row.latency_ms_p99, 2),
        number(row.images_per_s.get(1), 1),
        f"{row.images_per_s[most]:.1f} by {most}" if most else MISSING,
        f"{row.parity_max_abs:.1g}" if measured else MISSING,
        f"{row.score_change_max:.2g}" if measured else MISSING,
        f"{change.estimate:+.4f} [{change.low:+.4f}, {change.high:+.4f}]" if change.low == change.low else MISSING,
        f"{row.flag_agreement:.1%}" if measured else MISSING,
    )


def _latencies(rows: Sequence[VariantRow]) -> str:
    most = max((row.latency_ms_p99 for row in rows), default=1.0)

    def line(row: VariantRow, y: int) -> str:
        end, far = (value / most * _WIDTH for value in (row.latency_ms_p50, row.latency_ms_p99))
        return (
            f'<line class="own" stroke-width="12" x1="{_LEFT}" x2="{_LEFT + end:.1f}" y1="{y}" y2="{y}"/>'
            f'<line class="own" x1="{_LEFT + end:.1f}" x2="{_LEFT + far:.1f}" y1="{y}" y2="{y}"/>'
            f'<text class="soft" x="{_LEFT + far + 8:.1f}" y="{y + 4}">{row.latency_ms_p50:.2f}</text>'
        )

    return _drawing(rows, line)


def _bars(rows: Sequence[VariantRow], batches: Sequence[int]) -> str:
    most = max((rate for row in rows for rate in row.images_per_s.values()), default=1.0)

    def line(row: VariantRow, y: int) -> str:
        dots = [
            f'<circle class="own dot" cx="{_LEFT + row.images_per_s[batch] / most * _WIDTH:.1f}" cy="{y}" r="4">'
            f"<title>{batch}: {row.images_per_s[batch]:.1f}</title></circle>"
            for batch in batches
            if batch in row.images_per_s
        ]
        return "".join(dots)

    return _drawing(rows, line)


def _changes(rows: Sequence[VariantRow]) -> str:
    known = [row for row in rows if row.auroc_change.low == row.auroc_change.low]
    most = max((abs(value) for row in known for value in (row.auroc_change.low, row.auroc_change.high)), default=0.0)
    middle, scale = _LEFT + _WIDTH / 2, _WIDTH / 2 / (most or 1.0)

    def line(row: VariantRow, y: int) -> str:
        low, at, high = (
            middle + value * scale for value in (row.auroc_change.low, row.auroc_change.estimate, row.auroc_change.high)
        )
        return (
            f'<line class="own" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
            f'<circle class="own dot" cx="{at:.1f}" cy="{y}" r="4"/>'
        )

    axis = f'<line class="axis" x1="{middle}" x2="{middle}" y1="0" y2="{_ROW * len(known) + 8}"/>'
    return _drawing(known, line, axis)


def _drawing(rows: Sequence[VariantRow], line: Callable[[VariantRow, int], str], under: str = "") -> str:
    parts = [under]
    for place, row in enumerate(rows):
        y = 16 + place * _ROW
        parts.append(f'<text x="0" y="{y + 4}">{text(row.name)}</text>{line(row, y)}')
    width, height = _LEFT + _WIDTH + 80, _ROW * len(rows) + 8
    return f'<svg viewBox="-4 0 {width} {height}" width="{width}" role="img">{"".join(parts)}</svg>'
