"""A verdict's evidence as tables a person reads: what candidate and stable did side by side, then the rest. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chexpert.domain.verdicts import Verdict

__all__ = ["Compared", "Table", "compared", "tables"]

_NAMES: Final[Mapping[str, str]] = {
    "requests": "Requests",
    "faults": "Failed requests",
    "of these not a number or out of range": "Of these no valid score",
    "latency_ms_p50": "Latency, median",
    "latency_ms_p95": "Latency, 95th percentile",
    "confirmed": "Flags readers confirmed",
    "denied": "Flags readers denied",
}
_ROLES: Final = (
    ("answers of {}", "answers of {}"),
    ("readers on flags of the canary", "readers on flags of the stable"),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One line: the same quantity of both versions."""

    what: str
    stable: str
    candidate: str
    limit: str
    """What the gate allows the candidate; empty: it is not judged by this alone."""


@dataclass(frozen=True, slots=True)
class Table:
    """Evidence rows of the same columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def compared(verdict: Verdict, stable: str) -> list[Compared]:
    """Candidate, the verdict's subject, against `stable`: none unless the evidence has rows of both."""
    lines = []
    for ours, theirs in _pairs(verdict, stable):
        for key in (key for key in ours if key != "what"):
            unit = " ms" if key.startswith("latency_ms") else ""
            lines.append(
                Compared(
                    _NAMES.get(key, key),
                    _cell(theirs.get(key)) + unit,
                    _cell(ours[key]) + unit,
                    _limit(key, theirs, verdict.thresholds),
                ),
            )
    return lines


def tables(verdict: Verdict, stable: str = "") -> list[Table]:
    """What `compared` does not show, rows of the same columns together."""
    shown = [row for pair in _pairs(verdict, stable) for row in pair]
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for row in verdict.evidence:
        if row not in shown:
            groups.setdefault(tuple(row), []).append(tuple(_cell(value) for value in row.values()))
    return [Table(tuple(_words(name) for name in columns), tuple(rows)) for columns, rows in groups.items()]


def _pairs(verdict: Verdict, stable: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    by_name = {row.get("what"): row for row in verdict.evidence}
    names = [(ours.format(verdict.subject), theirs.format(stable)) for ours, theirs in _ROLES]
    return [(by_name[ours], by_name[theirs]) for ours, theirs in names if ours in by_name and theirs in by_name]


def _limit(key: str, stable: Mapping[str, Any], thresholds: Mapping[str, Any]) -> str:
    """In the words of the gate's own settings."""
    if key == "requests" and "min_requests" in thresholds:
        return f"at least {thresholds['min_requests']}"
    if key == "faults" and "max_fault_difference" in thresholds:
        return f"share at most {100 * thresholds['max_fault_difference']:g} points over the stable's"
    if key == "latency_ms_p95" and {"latency_ratio", "latency_slack_ms"} <= set(thresholds):
        allowed = float(stable.get(key) or 0.0) * thresholds["latency_ratio"] + thresholds["latency_slack_ms"]
        return f"under {allowed:.0f} ms"
    return ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
