"""One self-contained HTML page: frame, style and tables. All text passes through `text`."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import numpy as np

__all__ = ["MISSING", "document", "figure", "number", "section", "table", "text"]

MISSING: Final = "—"
"""Stands for what could not be measured."""

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2329; --soft: #5b6670; --line: #d5dadf; --paper: #fff; --panel: #f5f7f8;
  --own: #1f6fb2; --other: #b26a1f; --third: #6b4fa0; --good: #1a7f4b; --bad: #b3312c; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ea; --soft: #97a3ad; --line: #3a434b; --paper: #14191d;
  --panel: #1c2328; --own: #6ab0ea; --other: #e0a35f; --third: #b79cf0; --good: #58c48c; --bad: #ef7b75; } }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 82rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0; max-width: 52rem; } .soft { color: var(--soft); }
.verdict { border-left: 4px solid var(--line); background: var(--panel); padding: .6rem 1rem; margin: 1rem 0; }
.verdict.passed { border-color: var(--good); } .verdict.refused { border-color: var(--bad); }
.verdict b { font-size: 1.05rem; }
.passed b, td.passed { color: var(--good); } .refused b, td.refused { color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); } th, td { padding: .22rem .8rem .22rem 0;
  border-bottom: 1px solid var(--line); white-space: nowrap; } td.n, th.n { text-align: right; }
svg { display: block; max-width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: var(--ink); }
svg .soft { fill: var(--soft); } svg .axis { stroke: var(--line); fill: none; }
svg .own { stroke: var(--own); fill: none; } svg .own.dot { fill: var(--own); }
svg .other { stroke: var(--other); fill: none; } svg .third { stroke: var(--third); fill: none; }
svg .other.dot, svg .third.dot { fill: var(--paper); }
.key { font-size: .85rem; color: var(--soft); max-width: none; } .key .own { color: var(--own); }
.key .other { color: var(--other); } .key .third { color: var(--third); }
code { font: .85em ui-monospace, monospace; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page; `parts` are HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A heading and what follows it; `parts` are HTML."""
    return f"<section><h2>{text(heading)}</h2>\n{chr(10).join(parts)}</section>"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, words: int = 1) -> str:
    """A table of plain values; the first `words` columns are text, the others numbers, aligned right."""

    def cell(tag: str, place: int, value: Any) -> str:
        shown = text(value)
        kind = shown if shown in {"passed", "refused"} else ("" if place < words else "n")
        return f'<{tag} class="{kind}">{shown}</{tag}>' if kind else f"<{tag}>{shown}</{tag}>"

    def line(tag: str, values: Sequence[Any]) -> str:
        return f"<tr>{''.join(cell(tag, place, value) for place, value in enumerate(values))}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f'<div class="wide"><table><thead>{line("th", columns)}</thead>\n<tbody>{body}</tbody></table></div>'


def figure(svg: str, key: str = "") -> str:
    """A drawing and its key, both HTML."""
    return f'<div class="wide">{svg}</div>' + (f'<p class="key">{key}</p>' if key else "")


def number(value: float | None, digits: int = 3) -> str:
    """Fixed digits; a dash for what could not be measured."""
    return MISSING if value is None or np.isnan(value) else f"{value:.{digits}f}"


def text(value: Any) -> str:
    """Any value as escaped text."""
    return escape("" if value is None else str(value))
