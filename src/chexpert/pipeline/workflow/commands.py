"""What a container runs, as the local runner sees it: which step, and where its artifacts lie."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["INPUTS", "OUTPUTS", "relocate", "step_of"]

INPUTS: Final = "/step/in"
OUTPUTS: Final = "/step/out"
"""Where artifacts lie in every container: the two prefixes that the local runner replaces."""

_PREFIX: Final = ("chexpert", "step")
_PLACES: Final = re.compile(r"/step/(in|out)(?![\w.-])")


def step_of(command: Sequence[str]) -> tuple[str, ...] | None:
    """What follows `chexpert step` in a command; None for any other command."""
    return tuple(command[len(_PREFIX) :]) if tuple(command[: len(_PREFIX)]) == _PREFIX else None


def relocate(text: str, folder: Path) -> str:
    """The text with /step/in and /step/out replaced by the folder's own; /step/input is something else."""
    return _PLACES.sub(lambda match: str(folder / match.group(1)), text)
