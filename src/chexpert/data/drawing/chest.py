"""The maps that a chest is drawn on, and the coordinates of a lung in which findings are placed."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from chexpert.data.drawing.anatomy import Patient, Projection
from chexpert.data.drawing.grid import Field, Grid, Stroke

__all__ = ["Chest", "Lung"]


@dataclass(slots=True)
class Lung:
    """One lung field in its own coordinates.

    u runs from -1 (hilum; in lateral views the front) to 1 (wall; the back), v from 0 (apex) to 1 (base).
    """

    side: int
    """-1 the patient's right, on the left of the image; 1 the left; 0 both, seen from the side."""
    u: Field
    v: Field
    depth: Field
    """How much air there is without disease, in [0, 1]; 0 outside."""
    placed: Callable[[Field, Field], tuple[Field, Field]]
    """Arrays of u, v to anatomical x, y."""

    @property
    def from_hilum(self) -> Field:
        """Distance from the hilum in u, 0 to 1; from the side the hila lie in the middle."""
        distance: Field = np.abs(self.u) if self.side == 0 else (self.u + 1) / 2
        return distance

    def place(self, u: float, v: float) -> tuple[float, float]:
        """Anatomical x, y of one point."""
        x, y = self.placed(np.array([u]), np.array([v]))
        return float(x[0]), float(y[0])


@dataclass(slots=True)
class Chest:
    """Drawn step by step; findings take air away or add tissue."""

    grid: Grid
    patient: Patient
    projection: Projection
    lungs: tuple[Lung, ...]
    air: Field
    """Thickness of aerated lung, in [0, 1]."""
    tissue: Field
    """Attenuation of everything soft."""
    vessel_gain: Field
    """Factor on the vessels; 0 where there is no lung to carry them."""
    dense: list[Stroke] = field(default_factory=list)
    """Metal and plastic."""
    faint: list[Stroke] = field(default_factory=list)
    """Lines within the lung: septa, pleura, plates."""
    bronchi: list[Stroke] = field(default_factory=list)
    """Dark lines: air within consolidated lung."""
    congestion: float = 1.0
    """Factor on the width of vessels."""

    def fill(self, mask: Field, share: float, tissue: float = 0.0) -> None:
        """Replace a share of the air under a mask, and add tissue."""
        self.air = self.air * (1 - np.float32(share) * mask)
        if tissue:
            self.tissue = self.tissue + np.float32(tissue) * mask

    def pick(self, rng: np.random.Generator) -> Lung:
        """One of the lungs."""
        return self.lungs[int(rng.integers(len(self.lungs)))]
