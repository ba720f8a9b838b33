"""The words of a pull request: why this version, in Markdown that reads as well in a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from chexpert.domain.verdicts import Verdict

__all__ = ["BodyParts", "render", "table"]


@dataclass(frozen=True, slots=True)
class BodyParts:
    """What a person needs to see before merging."""

    metrics: Sequence[Mapping[str, Any]] = ()
    """Rows of one table, such as one per observation; columns come in the order they are first named."""
    verdicts: Sequence[tuple[Verdict, str]] = ()
    """Each gate's answer and where it is recorded; an empty address is left out."""
    links: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Address of each report by its title."""


def render(version: str, environment: str, uri: str, digest: str, parts: BodyParts) -> str:
    """Markdown: what is promoted, its verdicts, its metrics, its reports."""
    lines = [f"Serve **{version}** in {environment}.", "", "| | |", "|---|---|"]
    lines += [f"| bundle | `{uri}` |", f"| digest | `sha256:{digest}` |"]
    if parts.verdicts:
        lines += ["", "## Verdicts", ""]
        for verdict, where in parts.verdicts:
            mark = "passed" if verdict.passed else "**refused**"
            address = f" ([record]({where}))" if where else ""
            lines.append(f"- {verdict.gate}: {mark}, {'; '.join(verdict.reasons)}{address}")
    if parts.metrics:
        lines += ["", "## Metrics", "", *table(parts.metrics)]
    if parts.links:
        lines += ["", "## Reports", "", *(f"- [{title}]({address})" for title, address in parts.links.items())]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a Markdown table; figures to the right, with four digits that count."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    figures = {c for c in columns if all(isinstance(row.get(c), int | float | None) for row in rows)}
    ruler = "|".join("---:" if c in figures else "---" for c in columns)
    lines = [f"| {' | '.join(_cell(c) for c in columns)} |", f"|{ruler}|"]
    return lines + [f"| {' | '.join(_cell(row.get(c)) for c in columns)} |" for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
