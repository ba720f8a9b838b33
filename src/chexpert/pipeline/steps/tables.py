"""A verdict with its table as a page that stands alone."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from chexpert.domain.verdicts import Verdict

__all__ = ["page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px auto; max-width: 1000px; padding: 0 16px; }
html { color-scheme: light dark; }
table { border-collapse: collapse; } th, td { padding: 4px 12px; border-bottom: 1px solid #8884; text-align: right; }
th:first-child, td:first-child, td.text { text-align: left; }
"""


def page(title: str, verdict: Verdict, rows: Sequence[Mapping[str, Any]], note: str) -> str:
    """HTML: the verdict's reasons, one table, a note. All text is escaped."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name.replace('_', ' '))}" for name in columns)
    body = "".join("<tr>" + "".join(_cell(row.get(name)) for name in columns) for row in rows)
    reasons = "".join(f"<li>{escape(reason)}" for reason in verdict.reasons)
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<style>{_STYLE}</style></head><body><h1>{escape(title)}: {"passed" if verdict.passed else "refused"}</h1>
<ul>{reasons}</ul><p>{escape(note)}</p><table><tr>{head}</tr>{body}</table></body></html>
"""


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"<td{'' if isinstance(value, int | float) else ' class=text'}>{escape(text)}"
