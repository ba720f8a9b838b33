"""From attenuation to grey levels: exposure, scatter, quanta, the automatic window, marks, and what may go wrong."""

from typing import Final

import numpy as np
from PIL import Image

from chexpert.data.drawing.anatomy import Projection
from chexpert.data.drawing.grid import Field, Grid, Stroke, step
from chexpert.data.drawing.knobs import Knobs
from chexpert.data.drawing.letters import write

__all__ = ["crop", "expose", "photograph"]

_BRIGHTNESS: Final = (0.42, 0.60)
"""Range of the mean grey level. Drawn for each film and blind to findings: brightness must not tell them."""
_CONTRAST: Final = (0.19, 0.25)
"""Range of the standard deviation of grey levels, drawn likewise."""
_QUANTA: Final = {"PA": (1500.0, 4000.0), "AP": (400.0, 2000.0), "LATERAL": (600.0, 2500.0)}
"""Range of quanta per pixel at 128 px without a patient."""


def expose(attenuation: Field, projection: Projection, rng: np.random.Generator, knobs: Knobs) -> Field:
    """Film of an attenuation map, in [0, 1], dense tissue bright."""
    n = len(attenuation)
    beam = np.exp(-np.float32(1.7) * np.maximum(attenuation, 0))
    beam += np.float32(rng.uniform(0.02, 0.08)) * _blurred(beam)
    quanta = rng.uniform(*_QUANTA[projection])
    sigma = np.sqrt(beam / np.float32(quanta)) * np.float32(knobs.noise)
    beam += sigma * rng.standard_normal((n, n), np.float32)
    film = -np.log(np.maximum(beam, np.float32(2e-3)))
    film = (film - film.mean()) / film.std() * np.float32(rng.uniform(*_CONTRAST)) + np.float32(
        rng.uniform(*_BRIGHTNESS)
    )
    film = np.clip(film, 0, 1)
    film = np.maximum(film, Grid(n).draw(_marks(projection, rng)))
    bent: Field = film ** np.float32(knobs.gamma * rng.uniform(0.9, 1.1))
    return bent


def crop(film: Field, rng: np.random.Generator) -> Field:
    """Cut some border off, or leave it black as a collimator does; the aspect varies with it."""
    n = len(film)
    left, right, top, bottom = (int(cut) for cut in rng.uniform(0, 0.07, 4) * n)
    film = film[top : n - bottom, left : n - right]
    if rng.random() < 0.25:  # noqa: PLR2004 - share of films with a visible collimator
        edge = int(rng.uniform(0.02, 0.05) * n)
        film = film.copy()
        if rng.random() < 0.5:  # noqa: PLR2004 - sides or top and bottom
            film[:, :edge] = film[:, -edge:] = 0
        else:
            film[:edge] = film[-edge:] = 0
    return film


def photograph(film: Field, rng: np.random.Generator) -> Field:
    """The film on a screen, taken with a phone: tilted, glaring, moire, not sharp (CheXphoto)."""
    height, width = film.shape
    picture = Image.fromarray((film * 255).astype(np.uint8))
    low, high = rng.uniform(0.0, 0.08, (4, 2)), (width, height)
    corners = [(0, 0), (0, 1), (1, 1), (1, 0)]
    quad = [
        float(abs(corner * length - inset * length))
        for (x, y), insets in zip(corners, low, strict=True)
        for corner, inset, length in zip((x, y), insets, high, strict=True)
    ]
    tilted = picture.transform((width, height), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    soft = tilted.reduce(2).resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(soft, np.float32) / np.float32(255)
    y, x = np.mgrid[0 : 1 : complex(height), 0 : 1 : complex(width)].astype(np.float32)
    glare = step(1 - ((x - rng.uniform()) ** 2 + (y - rng.uniform()) ** 2) / rng.uniform(0.03, 0.12), 0.9)
    moire = np.sin(rng.uniform(60, 140) * (x + rng.uniform(-0.3, 0.3) * y))
    photo: Field = np.clip(0.08 + 0.8 * values + 0.5 * glare + 0.03 * moire, 0, 1).astype(np.float32)
    return photo


def _blurred(beam: Field) -> Field:
    n = len(beam)
    small = Image.fromarray(beam).resize((12, 12), Image.Resampling.BOX)
    return np.asarray(small.resize((n, n), Image.Resampling.BICUBIC))


def _marks(projection: Projection, rng: np.random.Generator) -> list[Stroke]:
    """Side marker, and on AP films of bedridden patients the word PORTABLE."""
    side = 1 if rng.random() < 0.7 else -1  # noqa: PLR2004 - most departments mark the left
    marks = write("L" if side == 1 else "R", side * 0.82 - 0.05, rng.uniform(-0.9, -0.6), 0.12)
    if projection == "AP" and rng.random() < 0.6:  # noqa: PLR2004 - not every bedside film says so
        marks += write("PORTABLE", rng.uniform(-0.85, 0.0), rng.choice([-0.93, 0.85]), 0.08)
    return marks
