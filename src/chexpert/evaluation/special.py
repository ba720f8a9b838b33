"""The special batch: the images a model is most wrong about, for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.evaluation.evaluation import Rows
from chexpert.evaluation.inputs import Floats, ShapeMismatch

__all__ = ["Mistake", "special_batch"]

_MISTAKE: Final = float(np.log(2.0))
_LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Mistake:
    """One image, with the observation it is most wrong about."""

    name: str
    """Of the image."""
    observation: Observation
    present: bool
    """What the label says."""
    score: float


def special_batch(rows: Rows, names: Sequence[str], *, count: int = 20) -> tuple[Mistake, ...]:
    """At most `count` images, the most wrong first, each once; `names` are those of the rows (n,).

    Wrongness is how much less likely the score made the label than the observation's share alone would: so a rare
    observation, whose scores are all low, is no mistake for being rare. Less than twice as unlikely is no mistake.
    """
    if len(names) != len(rows.labels):
        raise ShapeMismatch((len(names),), rows.labels.shape[:1], of="names")
    wrong = np.stack([_wrongness(rows.labels[:, c], rows.scores[:, c]) for c in range(len(OBSERVATIONS))], axis=1)
    column = wrong.argmax(axis=1)
    worst = wrong[np.arange(len(wrong)), column]
    order = [int(row) for row in np.argsort(-worst, kind="stable")[:count] if worst[row] > _MISTAKE]
    return tuple(
        Mistake(
            name=str(names[row]),
            observation=OBSERVATIONS[column[row]],
            present=bool(rows.labels[row, column[row]] == 1.0),
            score=float(rows.scores[row, column[row]]),
        )
        for row in order
    )


def _wrongness(labels: Floats, scores: Floats) -> Floats:
    """log(share / score) of each label (n,); -inf where masked."""
    known = ~np.isnan(labels)
    if not known.any():
        return np.full(len(labels), -np.inf)
    share = float(labels[known].mean())
    present = labels == 1.0
    given = np.clip(np.where(present, scores, 1.0 - scores), _LEAST, 1.0)
    prior = np.where(present, share, 1.0 - share)
    return np.where(known, np.log(np.maximum(prior, _LEAST) / given), -np.inf)
