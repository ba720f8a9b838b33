"""Findings that fill the lung: edema, consolidation, pneumonia, atelectasis, lesions, and haze that is only opacity."""

import numpy as np

from chexpert.data.drawing.chest import Chest, Lung
from chexpert.data.drawing.grid import Field, Stroke, bump, step

__all__ = ["atelectasis", "consolidation", "edema", "haze", "lesion", "pneumonia"]


def edema(chest: Chest, rng: np.random.Generator) -> None:
    """Bat-wing haze on both sides, wide vessels, short septal lines at the lateral bases."""
    strength = rng.uniform(0.45, 0.75)
    for lung in chest.lungs:
        wings = bump(((lung.from_hilum - 0.12) / 0.72) ** 2 + ((lung.v - 0.55) / 0.62) ** 2)
        chest.fill(wings * lung.depth, strength, 0.05)
        for _ in range(5):
            v = rng.uniform(0.65, 0.95)
            points = np.array([lung.place(0.98, v), lung.place(0.72, v)])
            chest.faint.append(Stroke(points, 0.012, 0.6))
    chest.congestion *= rng.uniform(1.6, 2.0)


def consolidation(chest: Chest, rng: np.random.Generator) -> None:
    """A dense lobar patch with a fuzzy edge and air bronchograms; no volume is lost."""
    lung = chest.pick(rng)
    u, v = rng.uniform(-0.45, 0.45), rng.choice([rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.85)])
    patch = _patch(chest, rng, lung, (u, v), (rng.uniform(0.65, 0.95), rng.uniform(0.2, 0.3)))
    chest.fill(patch, rng.uniform(0.8, 0.95), 0.1)
    for angle in rng.uniform(-1.2, 1.2, 3):
        end = lung.place(u + 0.5 * np.cos(angle), v + 0.2 * np.sin(angle))
        chest.bronchi.append(Stroke(np.array([lung.place(u - 0.4, v - 0.05), end]), 0.02, 0.8))


def pneumonia(chest: Chest, rng: np.random.Generator) -> None:
    """Several irregular patches in one lung."""
    lung = chest.pick(rng)
    for _ in range(int(rng.integers(3, 6))):
        centre = (rng.uniform(-0.6, 0.7), rng.uniform(0.25, 0.9))
        patch = _patch(chest, rng, lung, centre, (rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.17)))
        chest.fill(patch, rng.uniform(0.55, 0.85), 0.05)


def atelectasis(chest: Chest, rng: np.random.Generator, lung: Lung) -> None:
    """Plates above a base, or a dense wedge at the heart; the frontal view has already raised this diaphragm."""
    if rng.random() < 0.6:  # noqa: PLR2004 - plates are the more frequent form
        for _ in range(int(rng.integers(2, 4))):
            v, slope = rng.uniform(0.66, 0.92), rng.uniform(-0.08, 0.08)
            ends = (rng.uniform(-0.9, -0.4), rng.uniform(0.2, 0.8))
            height = np.abs(lung.v - v - slope * lung.u) / rng.uniform(0.035, 0.06)
            within = step(lung.u - ends[0], 0.1) * step(ends[1] - lung.u, 0.1)
            chest.fill(bump(height**2) * within * lung.depth, 0.95, 0.1)
    else:
        wedge = step(lung.v - 0.5 - 0.28 * (lung.u + 1), 0.06)
        chest.fill(wedge * lung.depth, 0.9, 0.1)


def lesion(chest: Chest, rng: np.random.Generator) -> None:
    """One to three round shadows away from the hilum, smooth or spiculated."""
    grid = chest.grid
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        lung = chest.pick(rng)
        x, y = lung.place(rng.uniform(-0.25, 0.65), rng.uniform(0.15, 0.8))
        radius = rng.uniform(0.065, 0.13)
        distance = np.sqrt((grid.x - x) ** 2 + (grid.y - y) ** 2)
        chest.fill(step(radius - distance, 0.3 * radius) * (lung.depth > 0), 0.95, 0.14)
        if rng.random() < 0.4:  # noqa: PLR2004 - share of spiculated ones
            for angle in rng.uniform(0, 2 * np.pi, 7):
                spoke = np.array([[x, y], [x + 1.7 * radius * np.cos(angle), y + 1.7 * radius * np.sin(angle)]])
                chest.faint.append(Stroke(spoke, 0.012, 0.7))


def haze(chest: Chest, rng: np.random.Generator) -> None:
    """One faint ill-defined opacity that no reader would name further."""
    lung = chest.pick(rng)
    centre = (rng.uniform(-0.3, 0.5), rng.uniform(0.3, 0.8))
    chest.fill(_patch(chest, rng, lung, centre, (0.8, 0.28)), rng.uniform(0.4, 0.55))


def _patch(
    chest: Chest,
    rng: np.random.Generator,
    lung: Lung,
    centre: tuple[float, float],
    radii: tuple[float, float],
) -> Field:
    """An irregular region of a lung, given in u and v."""
    ragged = chest.grid.smooth_noise(rng, 9) * np.float32(0.3)
    distance = ((lung.u - centre[0]) / radii[0]) ** 2 + ((lung.v - centre[1]) / radii[1]) ** 2
    return step(1 - distance + ragged, 0.55) * lung.depth
