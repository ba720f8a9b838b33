"""How training tells others where it stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Epoch", "Progress", "Run", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the optimiser is done."""

    done: int
    """Steps so far, over all epochs."""
    total: int
    loss: float
    """Of the epoch so far; as of the last look, at most 1 s ago."""
    text: str = ""
    """What is worth a line in a log."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images, as measured at its end."""

    epoch: int
    """From 0."""
    train_loss: float
    tune_loss: float | None
    """None where the split tune is empty."""
    tune_auroc: float | None
    """Mean over observations with at least 5 images of either class; None where there are none."""
    images_per_s: float

    def score(self, best_by: str) -> float:
        """What epochs are compared by, higher is better.

        `best_by` is auroc or loss. AUROC falls back to the loss where it is undefined, the loss of the split tune to
        that of training where the split is empty.
        """
        if best_by == "auroc" and self.tune_auroc is not None:
            return self.tune_auroc
        return -(self.train_loss if self.tune_loss is None else self.tune_loss)


Progress = Callable[[Step], None]


class Run(Protocol):
    """One tracked run; the registry package has one for MLflow."""

    def params(self, values: Mapping[str, Any], /) -> None:
        """Settings of the run."""

    def metrics(self, values: Mapping[str, float], /, step: int) -> None:
        """Figures at a step."""

    def tags(self, values: Mapping[str, Any], /) -> None:
        """Facts of where it ran and on what."""
