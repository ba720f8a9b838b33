"""The chest from the front: body, two lungs, heart and great vessels, before findings and bones."""

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from chexpert.data.drawing.anatomy import Patient, Projection
from chexpert.data.drawing.chest import Chest, Lung
from chexpert.data.drawing.grid import Field, Grid, bump, step
from chexpert.data.drawing.plan import Plan

__all__ = ["frontal"]

_HILUM: Final = 0.09
"""Distance of a lung's inner border from the midline."""

_LEVEL: Final = {-1: -0.03, 1: 0.02}
"""The right diaphragm stands higher."""


def frontal(grid: Grid, patient: Patient, projection: Projection, plan: Plan) -> Chest:
    """Draw what every frontal film has."""
    base = patient.base - (0.05 if projection == "AP" else 0.0)
    shapes = tuple(_Shape(patient, plan, base, side) for side in (-1, 1))
    lungs = tuple(_lung(grid, shape) for shape in shapes)
    air = lungs[0].depth + lungs[1].depth
    chest = Chest(grid, patient, projection, lungs, air, _body(grid, patient, plan, shapes), np.ones_like(grid.x))
    _heart(chest, plan, base)
    _mediastinum(chest, plan)
    return chest


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the outline of one lung depends on."""

    patient: Patient
    plan: Plan
    base: float
    side: int

    def floor(self, x: Field) -> Field:
        """Y of the diaphragm: a dome that falls to the wall."""
        top = self.base + _LEVEL[self.side] - self.plan.raised.get(self.side, 0.0) - 0.11
        dome: Field = top + 0.8 * (np.abs(x) - 0.3) ** 2
        return dome


def _reach(v: Field, patient: Patient) -> Field:
    """Distance of the wall from the midline at relative height v."""
    above = 1 - np.clip(v, 0, 1)
    reach: Field = patient.half_width * np.sqrt(1 - above * above * above)
    return reach


def _lung(grid: Grid, shape: _Shape) -> Lung:
    patient, side = shape.patient, shape.side
    floor = shape.floor(grid.x)
    v = (grid.y - patient.apex) / (floor - patient.apex)
    reach = np.maximum(_reach(v, patient), _HILUM + 0.02)
    u = (side * (grid.x - shape.plan.shift) - _HILUM) / (reach - _HILUM) * 2 - 1
    across = np.sqrt(np.sqrt(np.clip(1 - u * u, 0, 1)))
    depth = across * step(floor - grid.y, 0.02) * step(v - 0.01, 0.03) * (0.75 + 0.25 * np.clip(v * 2, 0, 1))
    return Lung(side, u, v, depth, partial(_place, shape))


def _place(lung: _Shape, u: Field, v: Field) -> tuple[Field, Field]:
    reach = _reach(v, lung.patient)
    x = lung.plan.shift + lung.side * (_HILUM + (u + 1) / 2 * (reach - _HILUM))
    floor = lung.floor(x)
    return x, lung.patient.apex + v * (floor - lung.patient.apex)


def _body(grid: Grid, patient: Patient, plan: Plan, shapes: tuple[_Shape, ...]) -> Field:
    across = np.abs(grid.x)
    wall = patient.half_width + patient.flesh + 0.04 + 0.7 * np.clip(patient.apex + 0.5 - grid.y, 0, 1)
    shoulder = patient.apex - 0.13 + 0.35 * np.clip(across - 0.2, 0, 1)
    above = np.maximum(step(grid.y - shoulder, 0.05), step(0.17 - across, 0.04))
    body = step(wall - across, 0.03) * above
    tissue = body * (0.8 + 0.25 * patient.flesh + 0.2 * (1 - across * across))
    for shape in shapes:
        side = shape.side
        tissue += 0.30 * (grid.x * side > 0) * body * step(grid.y - shape.floor(grid.x), 0.03)
        if patient.sex == "F" and not patient.child:
            breast = ((grid.x - side * 0.36) / 0.3) ** 2 + ((grid.y - 0.2) / 0.3) ** 2
            tissue += 0.15 * bump(breast)
    spine = step(0.075 - across, 0.03) * (0.85 + 0.15 * np.sin(grid.y * 42))
    windpipe = step(0.032 - np.abs(grid.x - plan.shift), 0.02) * step(patient.apex + 0.42 - grid.y, 0.05)
    result: Field = tissue + 0.3 * spine - 0.2 * windpipe
    return result


def _heart(chest: Chest, plan: Plan, base: float) -> None:
    grid = chest.grid
    half = plan.heart * chest.patient.half_width
    tall = 0.72 * half + 0.08
    x = grid.x - plan.shift - 0.30 * half
    y = grid.y - (base - 0.03 - 0.72 * tall)
    along, across = 0.93 * x + 0.36 * y, 0.93 * y - 0.36 * x  # the apex points down and to the patient's left
    heart = step(1 - (along / half) ** 2 - (across / tall) ** 2, 0.25)
    chest.fill(heart, 0.93, 0.22)


def _mediastinum(chest: Chest, plan: Plan) -> None:
    grid, patient = chest.grid, chest.patient
    x = grid.x - plan.shift
    blur = 0.03 + 0.25 * max(0.0, plan.mediastinum - 0.17)
    upper = step(plan.mediastinum - np.abs(x), blur) * step(0.1 - grid.y, 0.2) * step(grid.y - patient.apex + 0.1, 0.1)
    chest.fill(upper, 0.95, 0.18)
    radius = 0.06 + 0.0006 * patient.age
    knob = ((x - plan.mediastinum - 0.01) ** 2 + (grid.y - patient.apex - 0.34) ** 2) / radius**2
    chest.fill(step(1 - knob, 0.5), 0.8, 0.08)
    for side in (-1, 1):
        hilum = ((x - side * 0.19) / 0.12) ** 2 + ((grid.y - patient.apex - 0.62) / 0.2) ** 2
        chest.fill(bump(hilum), 0.5, 0.06)
