"""The chest from the side: one merged lung, the heart in front, the spine at the back."""

from functools import partial

import numpy as np

from chexpert.data.drawing.anatomy import Patient
from chexpert.data.drawing.chest import Chest, Lung
from chexpert.data.drawing.grid import Field, Grid, bump, step
from chexpert.data.drawing.plan import Plan

__all__ = ["lateral"]

_MIDDLE = 0.03
"""x halfway between breastbone and back."""


def lateral(grid: Grid, patient: Patient, plan: Plan) -> Chest:
    """Draw what every lateral film has; the patient looks to the image's left."""
    lift = max(plan.raised.values(), default=0.0)
    floor = _floor(grid.x, patient, lift)
    v = (grid.y - patient.apex) / (floor - patient.apex)
    u = (grid.x - _MIDDLE) / _half(v, patient)
    depth = np.sqrt(np.sqrt(np.clip(1 - u * u, 0, 1))) * step(floor - grid.y, 0.02) * step(v - 0.01, 0.04)
    lung = Lung(0, u, v, depth, partial(_place, patient, lift))
    chest = Chest(
        grid, patient, "LATERAL", (lung,), lung.depth.copy(), _body(grid, patient, floor), np.ones_like(grid.x)
    )
    size = plan.heart / 0.44
    heart = ((grid.x + 0.24) / (0.24 * size)) ** 2 + ((grid.y - patient.base + 0.3) / (0.27 * size)) ** 2
    chest.fill(step(1 - heart, 0.3), 0.85, 0.2)
    hilum = ((grid.x - 0.04) / 0.14) ** 2 + ((grid.y - patient.apex - 0.6) / 0.17) ** 2
    chest.fill(bump(hilum), 0.6, 0.1)
    wide = plan.mediastinum / 0.11
    arch = ((grid.x + 0.02) / (0.12 * wide)) ** 2 + ((grid.y - patient.apex - 0.25) / 0.3) ** 2
    chest.fill(bump(arch), 0.75, 0.1)
    return chest


def _floor(x: Field, patient: Patient, lift: float) -> Field:
    floor: Field = patient.base - 0.12 - lift + 0.3 * np.clip(x + 0.1, 0, 1) + 0.25 * (np.minimum(x, 0.0) + 0.1) ** 2
    return floor


def _half(v: Field, patient: Patient) -> Field:
    """Half the depth of the thorax at relative height v."""
    above = 1 - np.clip(v, 0, 1)
    half: Field = 0.82 * patient.half_width * np.sqrt(1.02 - above * above * above)
    return half


def _place(patient: Patient, lift: float, u: Field, v: Field) -> tuple[Field, Field]:
    x = _MIDDLE + u * _half(v, patient)
    return x, patient.apex + v * (_floor(x, patient, lift) - patient.apex)


def _body(grid: Grid, patient: Patient, floor: Field) -> Field:
    half = 0.82 * patient.half_width + 0.1 + 0.5 * patient.flesh
    wall = half + 0.3 * np.clip(patient.apex + 0.3 - grid.y, 0, 1)
    body = step(wall - np.abs(grid.x - 0.04), 0.04)
    arms = bump((grid.x / 0.7) ** 2 + ((grid.y + 1.0) / 0.5) ** 2)
    back = grid.x - 0.47 + 0.12 * (grid.y + 0.1) ** 2
    spine = step(0.09 - np.abs(back), 0.04) * (0.75 + 0.25 * np.sign(np.sin(grid.y * 30)))
    below = 0.32 * step(grid.y - floor, 0.03) * body
    tissue: Field = body * (0.95 + 0.3 * patient.flesh) + 0.4 * arms + 0.25 * spine + below
    return tissue
