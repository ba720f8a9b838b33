"""Findings between lung and wall: effusion, pneumothorax, thickening."""

import numpy as np

from chexpert.data.drawing.chest import Chest, Lung
from chexpert.data.drawing.grid import Stroke, step

__all__ = ["effusion", "pneumothorax", "thickening"]


def effusion(chest: Chest, rng: np.random.Generator, lung: Lung, height: float) -> None:
    """Fluid up to a share `height` of the lung, its level rising towards the wall; lying patients show a veil too."""
    meniscus = 1 - height * (0.75 + 0.5 * np.clip(lung.u, 0, 1) ** 2 + 0.15 * np.clip(-lung.u, 0, 1))
    sharp = 0.07 if chest.projection == "AP" else 0.035
    chest.fill(step(lung.v - meniscus, sharp) * lung.depth, 0.96, 0.12)
    if chest.projection == "AP" and rng.random() < 0.5:  # noqa: PLR2004 - half of them lie flat
        chest.fill(np.clip(lung.v, 0, 1) * lung.depth, 0.5 * height)


def pneumothorax(chest: Chest, rng: np.random.Generator, lung: Lung, share: float) -> None:
    """A lung fallen towards its hilum by `share`: black without vessels outside, a thin bright pleural line between."""
    reach = np.sqrt(lung.from_hilum**2 + ((lung.v - 0.6) / 0.62) ** 2)
    edge = np.float32(1.05 - share) + chest.grid.smooth_noise(rng, 4) * np.float32(0.02)
    outside = step(reach - edge, 0.025) * (lung.depth > 0)
    inside = (1 - outside) * lung.depth
    chest.fill(inside, 0.75 * share)
    chest.air = chest.air + np.float32(0.32) * outside * lung.depth
    chest.vessel_gain = chest.vessel_gain * (1 - outside)
    line = np.clip(1 - np.abs(reach - edge) / np.float32(0.03), 0, 1) * lung.depth
    chest.tissue = chest.tissue + np.float32(0.26) * line


def thickening(chest: Chest, rng: np.random.Generator) -> None:
    """A bright rim along the wall, with chalky plaques."""
    lung = chest.pick(rng)
    top, bottom = rng.uniform(0.05, 0.25), rng.uniform(0.65, 0.95)
    thickness = np.float32(rng.uniform(0.22, 0.34)) + chest.grid.smooth_noise(rng, 8) * np.float32(0.05)
    rim = step(lung.u - 1 + thickness, 0.06) * step(lung.v - top, 0.05) * step(bottom - lung.v, 0.05)
    chest.fill(rim * (lung.depth > 0), 0.95, 0.12)
    for _ in range(3):
        v = rng.uniform(top, bottom)
        points = np.array([lung.place(0.85, v), lung.place(0.9, v + 0.08)])
        chest.dense.append(Stroke(points, 0.03, 0.35))
