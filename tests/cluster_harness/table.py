"""What the tests saw, as a table that is printed at the end and kept under var/."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Facts"]


@dataclass(slots=True)
class Facts:
    """Rows of (number of the check, what, what was seen)."""

    rows: list[tuple[int, str, str]] = field(default_factory=list)

    def saw(self, check: int, what: str, seen: object) -> None:
        """Add a row, and print it at once: a run that is stopped has told what it saw until then."""
        self.rows.append((check, what, str(seen)))
        sys.stdout.write(f"[{check}] {what}: {seen}\n")
        sys.stdout.flush()

    def markdown(self) -> str:
        """The table, in the order of the checks."""
        lines = ["| check | what | seen |", "|---|---|---|"]
        lines += [
            f"| {check} | {what} | {_cell(seen)} |" for check, what, seen in sorted(self.rows, key=lambda row: row[0])
        ]
        return "\n".join(lines) + "\n"

    def save(self, path: Path) -> None:
        """Write the table."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(), encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
