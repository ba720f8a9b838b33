"""What findings do to the shape of the chest, decided before anything is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from chexpert.data.drawing.anatomy import Patient, Projection
from chexpert.data.drawing.truth import Truth
from chexpert.domain.observations import OBSERVATIONS, Observation

__all__ = ["Plan", "make_plan"]

_O = Observation


@dataclass(frozen=True, slots=True)
class Plan:
    """Sides are -1 (the patient's right) and 1; lengths in units of half the film."""

    present: frozenset[Observation]
    heart: float
    """Cardiothoracic ratio on the film."""
    mediastinum: float
    """Half width of the upper mediastinum on the film."""
    shift: float = 0.0
    """Of the mediastinum, to the image's right."""
    raised: Mapping[int, float] = field(default_factory=dict)
    """How much higher a diaphragm stands."""
    effusions: Mapping[int, float] = field(default_factory=dict)
    """Share of the lung's height under fluid."""
    pneumothorax: tuple[int, float] | None = None
    """Side and share of the lung lost."""
    collapse: int = 0
    """Side of atelectasis; 0: none."""


def make_plan(patient: Patient, projection: Projection, truth: Truth, rng: np.random.Generator) -> Plan:
    """Choose sides and sizes of what the truth says is there."""
    present = frozenset(o for o, label in zip(OBSERVATIONS, truth, strict=True) if label)
    heart = rng.uniform(0.60, 0.72) if _O.CARDIOMEGALY in present else patient.heart + rng.normal(0, 0.01)
    wide = _O.ENLARGED_CARDIOMEDIASTINUM in present and (
        _O.CARDIOMEGALY not in present or rng.random() < 0.5  # noqa: PLR2004 - a large heart alone widens the shadow too
    )
    shift = rng.normal(0, 0.012)
    raised: dict[int, float] = {}
    effusions: dict[int, float] = {}
    collapse, pneumothorax = 0, None
    if _O.PLEURAL_EFFUSION in present:
        first = int(rng.choice([-1, 1]))
        effusions[first] = float(np.clip(rng.gamma(5, 0.065), 0.16, 0.75))
        if rng.random() < 0.4:  # noqa: PLR2004 - share with fluid on both sides
            effusions[-first] = float(np.clip(rng.gamma(4, 0.06), 0.14, 0.5))
        shift -= 0.12 * first * max(0.0, effusions[first] - 0.45)
    if _O.ATELECTASIS in present:
        collapse = int(rng.choice([-1, 1]))
        raised[collapse] = float(rng.uniform(0.09, 0.18))
        shift += collapse * rng.uniform(0.02, 0.06)
    if _O.PNEUMOTHORAX in present:
        side = int(rng.choice([-1, 1]))
        pneumothorax = (side, float(rng.uniform(0.3, 0.6)))
        shift -= side * max(0.0, pneumothorax[1] - 0.4) * 0.3
    return Plan(
        present=present,
        heart=float(heart * (1.06 if projection == "AP" else 1.0)),
        mediastinum=float(
            rng.uniform(0.21, 0.29) if wide else patient.mediastinum * (1.1 if projection == "AP" else 1.0)
        ),
        shift=float(shift),
        raised=raised,
        effusions=effusions,
        pneumothorax=pneumothorax,
        collapse=collapse,
    )
