"""A model server with a planted fault: the product's own server around a session that misbehaves on demand.

`python -m chexpert.testing.faults slow --switch FILE -- <arguments of chexpert serve>` serves as usual until FILE
exists; from then on one version is slow, or fails a share of its calls. No product code knows of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock
from time import sleep
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from chexpert.bundle.store import Bundle
from chexpert.serving.app import serve
from chexpert.serving.command import declare
from chexpert.serving.settings import ServeSettings
from chexpert.serving.versions import OpenSession, Scorer, open_bundle

__all__ = ["Fault", "FaultKind", "FaultyScorer", "PlantedFault", "open_faulty"]

app = typer.Typer()


class FaultKind(StrEnum):
    """What goes wrong."""

    SLOW = "slow"
    ERRORS = "errors"


class PlantedFault(Exception):
    """Raised by a faulty session; no ChexpertError, since a real fault would be none either."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is planted, where and when."""

    kind: FaultKind
    switch: Path
    """The fault is on while this file exists, for callers: a version that could not open would never get any."""
    version: str = ""
    """Name of the faulty version; empty: every one but the first that the process opens, its stable."""
    delay_ms: float = 400.0
    """Added to each call when slow."""
    share: float = 0.5
    """Part of the calls that fail, spread evenly."""


@dataclass(slots=True)
class FaultyScorer:
    """Answers as the session it stands before, but for the fault."""

    scorer: Scorer
    fault: Fault
    _open: bool = False
    """Since `warm`, the last of what happens before callers come."""
    _due: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    @property
    def lanes(self) -> int:
        """As the session's."""
        return self.scorer.lanes

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As the session's `run`, late or not at all while the switch is on."""
        if self._open and self.fault.switch.exists():
            if self.fault.kind is FaultKind.SLOW:
                sleep(self.fault.delay_ms / 1000.0)
            elif self._is_due():
                msg = f"planted by {self.fault.switch}"
                raise PlantedFault(msg)
        return self.scorer.run(pixels)

    def warm(self) -> None:
        """As the session's."""
        self.scorer.warm()
        self._open = True

    def _is_due(self) -> bool:
        with self._lock:
            self._due += self.fault.share
            if self._due < 1.0:
                return False
            self._due -= 1.0
            return True


def open_faulty(fault: Fault, *, inner: OpenSession = open_bundle) -> OpenSession:
    """An `OpenSession` that plants `fault` in front of what `inner` opens."""
    first: list[str] = []

    def opened(version: str, bundle: Bundle, threads: int) -> Scorer:
        if not first:
            first.append(version)
        scorer = inner(version, bundle, threads)
        hit = version == fault.version if fault.version else version != first[0]
        return FaultyScorer(scorer, fault) if hit else scorer

    return opened


@app.command()
def main(
    *,
    kind: FaultKind,
    arguments: Annotated[list[str], typer.Argument(help="After `--`: the arguments of `chexpert serve`.")],
    switch: Annotated[Path, typer.Option(help="The fault is on while this file exists.")],
    version: Annotated[str, typer.Option(help="Faulty version; empty: every one but the first opened.")] = "",
    delay_ms: Annotated[float, typer.Option(help="Added to each call when slow.")] = 400.0,
    share: Annotated[float, typer.Option(help="Part of the calls that fail.")] = 0.5,
) -> None:
    """Serve with a planted fault."""
    fault = Fault(kind, switch, version, delay_ms, share)
    _serving(lambda settings: serve(settings, open_session=open_faulty(fault)))(args=arguments, standalone_mode=False)


def _serving(start: Callable[[ServeSettings], None]) -> typer.Typer:
    command = typer.Typer()
    declare(command, start)
    return command


if __name__ == "__main__":
    app()
