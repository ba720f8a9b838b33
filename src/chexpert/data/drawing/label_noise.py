"""What a report labeller makes of the truth: present, uncertain, absent or not mentioned.

Measured by comparing CheXpert's labeller with radiologists on the 500 test studies; for lesion, pneumothorax's absent,
pleural other and fracture the test set is too small, and the figures are chosen near their neighbours.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from chexpert.data.drawing.truth import Truth
from chexpert.domain.labels import ABSENT, PRESENT, UNCERTAIN, Label
from chexpert.domain.observations import OBSERVATIONS, Observation

__all__ = ["observed"]

_O = Observation
_STATES: Final[tuple[Label, ...]] = (PRESENT, UNCERTAIN, ABSENT, None)

_IF_PRESENT: Final[Mapping[Observation, tuple[float, float, float, float]]] = {
    _O.NO_FINDING: (0.42, 0.00, 0.00, 0.58),
    _O.ENLARGED_CARDIOMEDIASTINUM: (0.05, 0.07, 0.04, 0.84),
    _O.CARDIOMEGALY: (0.28, 0.03, 0.02, 0.67),
    _O.LUNG_OPACITY: (0.59, 0.00, 0.01, 0.40),
    _O.LUNG_LESION: (0.55, 0.10, 0.02, 0.33),
    _O.EDEMA: (0.40, 0.17, 0.05, 0.38),
    _O.CONSOLIDATION: (0.24, 0.07, 0.10, 0.59),
    _O.PNEUMONIA: (0.20, 0.27, 0.00, 0.53),
    _O.ATELECTASIS: (0.19, 0.29, 0.00, 0.52),
    _O.PNEUMOTHORAX: (0.89, 0.00, 0.00, 0.11),
    _O.PLEURAL_EFFUSION: (0.68, 0.09, 0.04, 0.19),
    _O.PLEURAL_OTHER: (0.40, 0.15, 0.00, 0.45),
    _O.FRACTURE: (0.50, 0.05, 0.02, 0.43),
    _O.SUPPORT_DEVICES: (0.72, 0.01, 0.02, 0.25),
}
"""Probability of each state where the truth is present."""

_IF_ABSENT: Final[Mapping[Observation, tuple[float, float, float, float]]] = {
    _O.NO_FINDING: (0.12, 0.00, 0.00, 0.88),
    _O.ENLARGED_CARDIOMEDIASTINUM: (0.03, 0.05, 0.12, 0.80),
    _O.CARDIOMEGALY: (0.07, 0.03, 0.06, 0.84),
    _O.LUNG_OPACITY: (0.23, 0.03, 0.04, 0.70),
    _O.LUNG_LESION: (0.02, 0.01, 0.01, 0.96),
    _O.EDEMA: (0.14, 0.05, 0.11, 0.70),
    _O.CONSOLIDATION: (0.05, 0.11, 0.14, 0.70),
    _O.PNEUMONIA: (0.02, 0.08, 0.02, 0.88),
    _O.ATELECTASIS: (0.11, 0.12, 0.01, 0.76),
    _O.PNEUMOTHORAX: (0.04, 0.02, 0.27, 0.67),
    _O.PLEURAL_EFFUSION: (0.19, 0.04, 0.20, 0.57),
    _O.PLEURAL_OTHER: (0.01, 0.01, 0.00, 0.98),
    _O.FRACTURE: (0.02, 0.00, 0.01, 0.97),
    _O.SUPPORT_DEVICES: (0.14, 0.01, 0.04, 0.81),
}
"""Probability of each state where the truth is absent."""


def observed(rng: np.random.Generator, truth: Truth, share: float) -> tuple[Label, ...]:
    """Training labels of a truth.

    Args:
        rng: randomness.
        truth: 14 labels.
        share: of labels that pass the labeller; 1: all, as CheXpert's; 0: the truth itself.

    Returns:
        14 labels. No Finding is never present beside another finding, as in CheXpert.
    """
    labels: dict[Observation, Label] = {}
    for observation, label in zip(OBSERVATIONS, truth, strict=True):
        table = _IF_PRESENT if label == PRESENT else _IF_ABSENT
        noisy = _STATES[int(rng.choice(len(_STATES), p=table[observation]))]
        labels[observation] = noisy if rng.random() < share else label
    findings = set(OBSERVATIONS) - {_O.NO_FINDING, _O.SUPPORT_DEVICES}
    if any(labels[o] == PRESENT for o in findings):
        labels[_O.NO_FINDING] = None if labels[_O.NO_FINDING] == PRESENT else labels[_O.NO_FINDING]
    return tuple(labels[o] for o in OBSERVATIONS)
