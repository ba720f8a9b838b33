"""What a container runs, as the local runner sees it: which step, and where its artifacts lie."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["INPUTS", "OUTPUTS", "launched_step", "relocate", "step_of"]

INPUTS: Final = "/step/in"
OUTPUTS: Final = "/step/out"
"""Where artifacts lie in every container: the two prefixes that the local runner replaces."""

_PREFIX: Final = ("chexpert", "step")
_PLACES: Final = re.compile(r"/step/(in|out)(?![\w.-])")


def step_of(command: Sequence[str]) -> tuple[str, ...] | None:
    """What follows `chexpert step` in a command; None for any other command."""
    return tuple(command[len(_PREFIX) :]) if tuple(command[: len(_PREFIX)]) == _PREFIX else None


def launched_step(command: Sequence[str]) -> tuple[str, ...] | None:
    """The same for a command that may stand behind a launcher and its options, such as torchrun's."""
    return next((found for start in range(len(command)) if (found := step_of(command[start:])) is not None), None)


def relocate(text: str, folder: Path) -> str:
    """The text with /step/in and /step/out replaced by the folder's own; /step/input is something else."""
    return _PLACES.sub(lambda match: str(folder / match.group(1)), text)
