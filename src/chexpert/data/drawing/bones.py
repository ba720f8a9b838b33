"""Ribs with their fractures, clavicles, shoulder blades, spine."""

import numpy as np
from numpy.typing import NDArray

from chexpert.data.drawing.anatomy import Patient
from chexpert.data.drawing.grid import Stroke

__all__ = ["blades", "clavicles", "fractured", "ribs"]

_RIBS = 9


def ribs(patient: Patient, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Middle lines of the ribs, right side first, from the spine outwards and down; then their fainter fronts."""
    lines = []
    along = np.linspace(0, 1, 12)
    spacing = (patient.base + 0.12 - patient.apex) / _RIBS
    for side in (-1, 1):
        for index in range(_RIBS):
            top = patient.apex + 0.03 + index * spacing + rng.normal(0, 0.006)
            reach = patient.half_width * (1 - (1 - (index + 1.1) / (_RIBS + 1.1)) ** 2.4) ** 0.5
            x = side * (0.06 + reach * np.sin(along * np.pi / 2) ** 0.9)
            y = top - 0.05 * np.sin(np.pi * along) + (patient.rib_slope + 0.012 * index) * along**2
            lines.append(np.column_stack([x, y]))
    return lines


def fractured(
    lines: list[NDArray[np.float64]], rng: np.random.Generator
) -> tuple[list[NDArray[np.float64]], list[Stroke]]:
    """Break one to four neighbouring ribs.

    Returns:
        Middle lines, the broken ones as two pieces out of line, and the callus at each break.
    """
    first = int(rng.integers(len(lines) // 2 - 5)) + 2 + int(rng.integers(2)) * (len(lines) // 2)
    broken = set(range(first, first + int(rng.integers(1, 5))))
    where = int(rng.integers(6, 10))
    pieces, callus = [], []
    for index, line in enumerate(lines):
        if index not in broken or index >= len(lines):
            pieces.append(line)
            continue
        step = np.array([0.0, rng.uniform(0.05, 0.08)])
        pieces += [line[:where], line[where:] + step]
        centre = line[where - 1] + step / 2
        turn = np.linspace(0, 2 * np.pi, 9)
        callus.append(Stroke(centre + 0.035 * np.column_stack([np.cos(turn), np.sin(turn)]), 0.0, 1.0, closed=True))
    return pieces, callus


def clavicles(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    """Both collar bones."""
    lift = rng.normal(0, 0.02)
    shape = np.array([[0.07, 0.12], [0.25, 0.09], [0.45, 0.02], [0.75, -0.06]])
    return [Stroke(shape * (side, 1) + (0, patient.apex + 0.05 + side * lift), 0.05, 0.75) for side in (-1, 1)]


def blades(patient: Patient) -> list[Stroke]:
    """Shoulder blades, which lie over the lungs in AP films."""
    shape = np.array([[0.0, 0.0], [0.22, -0.08], [0.26, 0.2], [0.1, 0.55]])
    corner = (patient.half_width - 0.16, patient.apex + 0.15)
    return [Stroke((shape + corner) * (side, 1), 0.0, 0.3, closed=True) for side in (-1, 1)]
