"""The 14 observations of a study in the words a reader sees. Pure; 'normal' is no word of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chexpert.domain.observations import FLAGGABLE, OBSERVATIONS, Observation
from chexpert.domain.predictions import Prediction

__all__ = ["BORDERLINE", "Finding", "findings"]

BORDERLINE: Final = 0.05
"""A score this close to its mark is called borderline: a little other noise would put it on the other side."""

_UNMARKED: Final = 0.5
"""What counts as said present where the operating point is not known; the page says so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the panel."""

    observation: Observation
    score: float | None
    """Calibrated probability, the highest of the images; None: the model has not answered."""
    mark: float | None
    """Operating point; None: not known."""
    word: str
    flagged: bool
    said: str
    """What the model said, 'present' or 'absent': what agreeing means. Empty: nothing."""


def findings(
    predictions: Sequence[Prediction],
    marks: Mapping[str, float],
    flag: str,
) -> list[Finding]:
    """All 14 in their fixed order. `flag` is the study's flag: it is called flagged, however close to its mark."""
    rows = []
    for index, observation in enumerate(OBSERVATIONS):
        score = max((one.scores[index] for one in predictions), default=None)
        mark = marks.get(observation)
        if score is None:
            rows.append(Finding(observation, None, mark, "", flagged=False, said=""))
            continue
        flagged = observation == flag
        present = flagged or score >= (_UNMARKED if mark is None else mark)
        word = "flagged" if flagged else _word(observation, score, mark)
        said = "present" if present else "absent"
        rows.append(Finding(observation, score, mark, word, flagged=word == "flagged", said=said))
    return rows


def _word(observation: Observation, score: float, mark: float | None) -> str:
    if mark is None:
        return "no mark known"
    if abs(score - mark) <= BORDERLINE:
        return "borderline"
    if score < mark:
        return "not flagged"
    return "flagged" if observation in FLAGGABLE else "present"
