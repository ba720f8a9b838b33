"""Who is drawn: what stays the same in all images of one patient, and what one exposure adds."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from chexpert.data.drawing.knobs import Knobs

__all__ = ["Patient", "Projection", "sample_patient", "sample_projection"]

Projection = str
"""AP, PA or LATERAL."""

_AP_SHARE: Final = 0.68
"""Of frontal views; CheXpert has 0.85, but a queue of all orders sees more PA."""

_CHILD: Final = (1, 6)
"""Ages of paediatric patients, upper end excluded."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Persistent anatomy. Lengths are in units of half the film."""

    age: int
    sex: str
    child: bool
    half_width: float
    """Of the thorax inside."""
    apex: float
    """y of the lung apices."""
    base: float
    """y of the diaphragm at rest."""
    flesh: float
    """Thickness of the wall outside the ribs."""
    heart: float
    """Cardiothoracic ratio without disease."""
    mediastinum: float
    """Half width of the upper mediastinum."""
    rib_slope: float
    texture: int
    """Seed of vessels and ribs, which a follow-up shows again."""


def sample_patient(rng: np.random.Generator, knobs: Knobs) -> Patient:
    """Draw one patient; age and sex as in CheXpert (60 +- 18 years, 59 % men)."""
    child = bool(rng.random() < knobs.paediatric)
    female = bool(rng.random() < 0.41)  # noqa: PLR2004 - CheXpert's share of women
    age = int(rng.integers(*_CHILD)) if child else int(np.clip(rng.normal(60, 18), 18, 90))
    width = rng.normal(0.66, 0.03) if child else rng.normal(0.70 - 0.03 * female, 0.035)
    return Patient(
        age=age,
        sex="F" if female else "M",
        child=child,
        half_width=float(np.clip(width, 0.58, 0.80)),
        apex=float(rng.normal(-0.56 if child else -0.74, 0.03)),
        base=float(rng.normal(0.34 if child else 0.50, 0.04)),
        flesh=float(np.clip(rng.gamma(6, 0.022), 0.05, 0.28)),
        heart=float(np.clip(rng.normal(0.52 if child else 0.43, 0.022), 0.37, 0.57)),
        mediastinum=float(np.clip(rng.normal(0.17 if child else 0.105, 0.012), 0.07, 0.2)),
        rib_slope=float(rng.normal(0.06 if child else 0.22, 0.04)),
        texture=int(rng.integers(2**31)),
    )


def sample_projection(rng: np.random.Generator, knobs: Knobs) -> Projection:
    """Draw how the film is taken; the findings drawn later depend on it, AP films being those of the sicker."""
    if rng.random() < knobs.lateral:
        return "LATERAL"
    return "AP" if rng.random() < _AP_SHARE else "PA"
