"""One synthetic radiograph with its exact labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chexpert.data.drawing.anatomy import Patient, Projection, sample_patient, sample_projection
from chexpert.data.drawing.grid import Field
from chexpert.data.drawing.knobs import Knobs
from chexpert.data.drawing.render import render
from chexpert.data.drawing.truth import Truth, close, sample_truth
from chexpert.domain.studies import View

__all__ = ["MASTER", "Phantom", "draw"]

MASTER = 128
"""Pixels of a side that is drawn before scaling down; larger images are drawn at their own size."""


@dataclass(frozen=True, slots=True)
class Phantom:
    """An image and what it shows."""

    pixels: NDArray[np.uint8]
    """(H, W); the longer side has the size asked for."""
    truth: Truth
    """14 labels, 1 or 0, in the order of OBSERVATIONS, closed under the hierarchy."""
    view: View
    sex: str
    """M or F."""
    age: int
    projection: Projection
    """AP or PA; empty for a lateral view, as CheXpert writes it."""


def draw(
    rng: np.random.Generator,
    *,
    size: int = 64,
    truth: Truth | None = None,
    knobs: Knobs | None = None,
    patient: Patient | None = None,
    projection: Projection | None = None,
) -> Phantom:
    """Draw one phantom; the same generator state gives the same pixels.

    Args:
        rng: all randomness.
        size: pixels of the longer side.
        truth: findings to draw, closed under the hierarchy here; None: sampled as they occur together.
        knobs: drift; None: the usual.
        patient: anatomy, for follow-ups; None: a new patient.
        projection: AP, PA or LATERAL; None: sampled.
    """
    knobs = knobs or Knobs()
    patient = patient or sample_patient(rng, knobs)
    projection = projection or sample_projection(rng, knobs)
    truth = sample_truth(rng, patient, projection, knobs) if truth is None else close(truth)
    film = render(patient, projection, truth, master=max(MASTER, size), rng=rng, knobs=knobs)
    lateral = projection == "LATERAL"
    view = View.LATERAL if lateral else View.FRONTAL
    return Phantom(_scaled(film, size), truth, view, patient.sex, patient.age, "" if lateral else projection)


def _scaled(film: Field, size: int) -> NDArray[np.uint8]:
    height, width = film.shape
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(film)).resize(shape, Image.Resampling.BILINEAR)
    pixels: NDArray[np.uint8] = np.rint(np.clip(np.asarray(picture), 0, 1) * 255).astype(np.uint8)
    return pixels
