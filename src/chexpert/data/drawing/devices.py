"""What is put into or onto a patient: tubes, lines, pacemakers, wires, leads."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from chexpert.data.drawing.anatomy import Patient
from chexpert.data.drawing.grid import Stroke

__all__ = ["devices"]

_WIRE: Final = 0.022
_TUBE: Final = 0.034
_JUGULAR: Final = 0.5
"""Share of central lines that enter at the neck."""


def devices(patient: Patient, rng: np.random.Generator, *, lateral: bool) -> list[Stroke]:
    """One to four devices; patients taken from the side carry a pacemaker or wires."""
    kinds = list(_FROM_THE_SIDE if lateral else _FROM_THE_FRONT)
    count = min(len(kinds), int(rng.integers(1, 5)))
    chosen = rng.choice(len(kinds), count, replace=False)
    table = _FROM_THE_SIDE if lateral else _FROM_THE_FRONT
    return [stroke for index in chosen for stroke in table[kinds[index]](patient, rng)]


def _endotracheal(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    end = patient.apex + rng.uniform(0.22, 0.34)
    return [Stroke(np.array([[0.02, -1.1], [0.0, -0.7], [0.01, end]]), _TUBE, 0.75)]


def _central_line(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    side = rng.choice([-1, 1])
    jugular, subclavian = [[side * 0.3, -1.0], [side * 0.16, -0.75]], [[side * 0.8, -0.5], [side * 0.3, -0.66]]
    start = jugular if rng.random() < _JUGULAR else subclavian
    path = [*start, [-0.08, -0.5], [-0.1, patient.apex + rng.uniform(0.5, 0.75)]]
    return [Stroke(_curve(path), _WIRE, 0.8)]


def _feeding_tube(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    path = [
        [0.0, -1.1],
        [0.01, -0.3],
        [0.03, patient.base - 0.1],
        [0.12, patient.base + 0.18],
        [rng.uniform(0.25, 0.4), 0.85],
    ]
    return [Stroke(_curve(path), _WIRE, 0.8)]


def _chest_tube(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    side = rng.choice([-1, 1])
    width = patient.half_width
    path = [
        [side * (width + 0.3), 0.35],
        [side * width * 0.9, 0.15],
        [side * width * 0.6, -0.25],
        [side * 0.35, patient.apex + 0.2],
    ]
    return [Stroke(_curve(path), 0.04, 0.7)]


def _pacemaker(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    x, y = rng.uniform(0.42, 0.55), patient.apex + rng.uniform(0.2, 0.32)
    turn = np.linspace(0, 2 * np.pi, 17)
    box = np.column_stack([x + 0.12 * np.cos(turn), y + 0.09 * np.sin(turn)])
    lead = _curve([[x - 0.1, y], [0.2, y - 0.12], [-0.08, y + 0.1], [-0.06, 0.1], [0.14, patient.base - 0.12]])
    return [Stroke(box, 0.0, 1.0, closed=True), Stroke(lead, _WIRE, 0.9)]


def _leads(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    strokes = []
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(-0.65, 0.65), rng.uniform(-0.5, 0.5)
        turn = np.linspace(0, 2 * np.pi, 9)
        strokes.append(
            Stroke(np.column_stack([x + 0.03 * np.cos(turn), y + 0.03 * np.sin(turn)]), 0.0, 0.95, closed=True)
        )
        strokes.append(
            Stroke(_curve([[x, y], [x + rng.uniform(-0.2, 0.2), y + 0.3], [rng.uniform(-1, 1), 1.1]]), 0.014, 0.6)
        )
    del patient
    return strokes


def _sternal_wires(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    del rng
    heights = np.linspace(patient.apex + 0.25, patient.base - 0.2, 5)
    return [Stroke(np.array([[-0.06, y], [0.0, y - 0.03], [0.06, y + 0.01], [-0.06, y]]), 0.022, 0.95) for y in heights]


def _side_pacemaker(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    y = patient.apex + rng.uniform(0.2, 0.3)
    box = np.array([[-0.62, y - 0.1], [-0.54, y - 0.1], [-0.52, y + 0.12], [-0.6, y + 0.12]])
    lead = _curve([[-0.56, y - 0.1], [-0.2, y - 0.1], [-0.1, 0.0], [-0.3, patient.base - 0.15]])
    return [Stroke(box, 0.0, 1.0, closed=True), Stroke(lead, _WIRE, 0.9)]


def _side_wires(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    del rng
    heights = np.linspace(patient.apex + 0.25, patient.base - 0.1, 5)
    return [Stroke(np.array([[-0.66, y], [-0.6, y + 0.02]]), 0.03, 0.95) for y in heights]


def _side_tube(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    path = [[rng.uniform(-0.1, 0.1), -1.1], [0.05, -0.4], [0.12, 0.1], [0.0, patient.base + 0.2]]
    return [Stroke(_curve(path), _WIRE, 0.85)]


def _curve(points: list[list[float]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """A smooth line through the points' neighbourhood: corners cut twice (Chaikin)."""
    line = np.array(points, np.float64)
    for _ in range(2):
        quarter, three = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        cut = np.empty((2 * len(quarter), 2))
        cut[0::2], cut[1::2] = quarter, three
        line = np.vstack([line[:1], cut, line[-1:]])
    return line


_Draw = Callable[[Patient, np.random.Generator], list[Stroke]]

_FROM_THE_FRONT: Final[Mapping[str, _Draw]] = {
    "endotracheal tube": _endotracheal,
    "central line": _central_line,
    "feeding tube": _feeding_tube,
    "chest tube": _chest_tube,
    "pacemaker": _pacemaker,
    "leads": _leads,
    "sternal wires": _sternal_wires,
}

_FROM_THE_SIDE: Final[Mapping[str, _Draw]] = {
    "pacemaker": _side_pacemaker,
    "sternal wires": _side_wires,
    "feeding tube": _side_tube,
}
