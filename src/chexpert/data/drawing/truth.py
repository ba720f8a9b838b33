"""Which findings a phantom has: a tree of odds, so that they occur together as in CheXpert, then closure.

Odds were set by hand to the co-occurrence of CheXpert's training labels, with the rare ones (lesion, pneumonia,
pneumothorax, pleural other, fracture) several times as frequent, so that a few hundred patients hold some of each.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from chexpert.data.drawing.anatomy import Patient, Projection
from chexpert.data.drawing.knobs import Knobs
from chexpert.domain.observations import OBSERVATIONS, PARENTS, Observation

__all__ = ["Truth", "close", "follow_up", "sample_truth"]

Truth = tuple[int, ...]
"""14 labels, 1 or 0, in the order of OBSERVATIONS."""

_O = Observation
_PERSISTENCE: Final = 0.7
"""Probability that a finding stands as it was at the last study."""

_SEVERITY: Final = "severity"
_AP: Final = "AP"

_TREE: Final[Mapping[Observation, tuple[float, Mapping[str, float]]]] = {
    # observation: (probability at rest, change of its log odds by what stands above it)
    _O.SUPPORT_DEVICES: (0.22, {_SEVERITY: 0.6, _AP: 1.5}),
    _O.PLEURAL_EFFUSION: (0.22, {_SEVERITY: 1.1, _AP: 0.4, _O.SUPPORT_DEVICES: 0.3}),
    _O.EDEMA: (0.08, {_SEVERITY: 0.8, _AP: 1.0, _O.PLEURAL_EFFUSION: 0.7}),
    _O.CARDIOMEGALY: (0.16, {_SEVERITY: 0.4, _O.EDEMA: 1.0, _O.PLEURAL_EFFUSION: 0.2}),
    _O.ENLARGED_CARDIOMEDIASTINUM: (0.07, {_SEVERITY: 0.3, _AP: 0.3}),
    _O.ATELECTASIS: (0.13, {_SEVERITY: 0.5, _O.PLEURAL_EFFUSION: 0.6, _O.SUPPORT_DEVICES: 0.3}),
    _O.CONSOLIDATION: (0.08, {_SEVERITY: 0.6, _O.PLEURAL_EFFUSION: 0.3}),
    _O.PNEUMONIA: (0.06, {_SEVERITY: 0.3, _O.CONSOLIDATION: 0.7, _O.EDEMA: -0.3}),
    _O.PNEUMOTHORAX: (0.08, {_O.SUPPORT_DEVICES: 0.4, _O.EDEMA: -1.0, _O.CARDIOMEGALY: -0.6}),
    _O.LUNG_LESION: (0.07, {_AP: -0.4}),
    _O.PLEURAL_OTHER: (0.05, {_AP: -0.4}),
    _O.FRACTURE: (0.05, {_O.PNEUMOTHORAX: 0.5}),
    _O.LUNG_OPACITY: (0.05, {_SEVERITY: 0.3}),
}

_PNEUMONIA_IS_CONSOLIDATION: Final = 0.85
"""Share of pneumonias that experts also call consolidation."""


def sample_truth(rng: np.random.Generator, patient: Patient, projection: Projection, knobs: Knobs) -> Truth:
    """Draw the findings of one study, closed under the hierarchy."""
    present: dict[str, float] = {_SEVERITY: float(rng.normal((patient.age - 60) / 60)), _AP: float(projection == "AP")}
    odds_factor = knobs.prevalence
    for observation, (rest, effects) in _TREE.items():
        odds = rest / (1 - rest) * np.exp(sum(effect * present[name] for name, effect in effects.items()))
        odds *= 1.0 if observation is _O.SUPPORT_DEVICES else odds_factor
        present[observation] = float(rng.random() < odds / (1 + odds))
    if present[_O.PNEUMONIA] and rng.random() < _PNEUMONIA_IS_CONSOLIDATION:
        present[_O.CONSOLIDATION] = 1.0
    return close(tuple(int(present.get(o, 0)) for o in OBSERVATIONS))


def follow_up(rng: np.random.Generator, before: Truth, anew: Truth) -> Truth:
    """Findings of a later study: each mostly as before, else as drawn anew."""
    kept = rng.random(len(OBSERVATIONS)) < _PERSISTENCE
    return close(tuple(old if keep else new for old, new, keep in zip(before, anew, kept, strict=True)))


def close(labels: Truth) -> Truth:
    """Set the parents of what is present, and derive No Finding; a lone parent stays."""
    present = dict(zip(OBSERVATIONS, labels, strict=True))
    for child, parent in PARENTS.items():
        present[parent] = max(present[parent], present[child])
    findings = set(OBSERVATIONS) - {_O.NO_FINDING, _O.SUPPORT_DEVICES}
    present[_O.NO_FINDING] = int(not any(present[o] for o in findings))
    return tuple(present[o] for o in OBSERVATIONS)
