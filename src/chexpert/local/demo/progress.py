"""How far earlier demos in this home came, so that the next one goes on where it makes sense."""

import json
from pathlib import Path

__all__ = ["Progress"]


class Progress:
    """Turns completed, kept in one small file. A turn that was cut short is taken up again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.turn: int = json.loads(path.read_text())["completed"] if path.exists() else 0
        """Number of this turn, from 0."""

    def complete(self) -> None:
        """Count this turn."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({"completed": self.turn + 1}))
