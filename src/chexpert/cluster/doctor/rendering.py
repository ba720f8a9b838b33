"""The doctor's table. Pure."""

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from chexpert.cluster.doctor.findings import Finding, State

__all__ = ["exit_code", "summary", "table"]

_STYLES: Final = {
    State.OK: "green",
    State.MISSING: "bold red",
    State.TOO_OLD: "bold red",
    State.ABSENT: "yellow",
    State.UNKNOWN: "yellow",
}


def table(findings: Sequence[Finding]) -> Table:
    """One line for each finding; what is amiss says how to get it."""
    drawn = Table("check", "state", "found", "how to get it")
    for finding in findings:
        state = Text(finding.state, style=_STYLES[finding.state])
        drawn.add_row(Text(finding.check), state, Text(finding.found), Text(finding.remedy))
    return drawn


def summary(findings: Sequence[Finding]) -> str:
    """Counts by state, in one line."""
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def exit_code(findings: Sequence[Finding]) -> int:
    """1 if anything needed is missing or too old, else 0."""
    return int(any(finding.state.bad for finding in findings))
