"""The summary as one page, `demo/index.html`, that links every report."""

import os
from html import escape
from pathlib import Path

from chexpert.local.demo.record import Record, Row

__all__ = ["write_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; background: #0e1116; color: #e6eaf0; }
main { max-width: 1040px; margin: auto; padding: 24px 16px 64px; }
h1 { font-size: 20px; } h2 { font-size: 14px; color: #9aa6b5; margin: 28px 0 6px; }
.research { padding: 6px 16px; background: #2b2410; color: #f0d98a; font-size: 13px; }
table { width: 100%; border-collapse: collapse; } a { color: #5aa9e6; }
th { text-align: left; color: #9aa6b5; font-weight: 500; font-size: 12px; }
th, td { padding: 6px 10px; border-bottom: 1px solid #212832; vertical-align: top; }
td.num { text-align: right; font-variant-numeric: tabular-nums; } .miss { color: #ff8552; } .good { color: #58c08f; }
"""


def write_page(record: Record, path: Path, *, title: str, site: str) -> None:
    """Write the page; links to local files are relative to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    verdict = (
        '<span class="good">✓ as expected</span>'
        if record.as_expected
        else '<span class="miss">✗ not as expected</span>'
    )
    rows = "".join(_row(row, path.parent) for row in record.rows)
    times = "".join(
        f'<tr><td>{escape(phase.name)}<td class="num">{phase.seconds:.1f} s'
        f'<td class="num">{"" if phase.budget_s is None else f"≤ {phase.budget_s:g} s"}'
        f"{_missed(phase.seconds, phase.budget_s)}"
        for phase in record.phases
    )
    broken = "".join(f'<p class="miss">✗ {escape(each)}</p>' for each in record.broken)
    path.write_text(
        f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>
<div class="research" role="note">Research use, not for diagnosis. Numbers are from this machine and this run.</div>
<main><h1>{escape(title)}</h1>
<p>Expected: {escape(record.expected)}. Seen: {escape(record.seen)}. {verdict}</p>
{broken}<p>Site, while the demo runs: <a href="{escape(site)}">{escape(site)}</a></p>
<h2>What was seen</h2><table><tr><th>Part<th>What<th>Seen{rows}</table>
<h2>Time</h2><table><tr><th>Phase<th>Took<th>Budget{times}</table></main></body></html>
""",
        encoding="utf-8",
    )


def _row(row: Row, folder: Path) -> str:
    seen = escape(row.seen)
    if row.link:
        target = row.link if "://" in row.link else os.path.relpath(row.link, folder)
        seen = f'<a href="{escape(target)}">{seen}</a>'
    return f"<tr><td>{escape(row.part)}<td>{escape(row.what)}<td>{seen}"


def _missed(seconds: float, budget_s: float | None) -> str:
    return ' <span class="miss">missed</span>' if budget_s is not None and seconds > budget_s else ""
