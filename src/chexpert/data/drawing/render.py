"""Puts one film together: chest, findings, bones, devices, exposure."""

import numpy as np

from chexpert.data.drawing import airspace, bones, pleura
from chexpert.data.drawing.anatomy import Patient, Projection
from chexpert.data.drawing.chest import Chest
from chexpert.data.drawing.devices import devices
from chexpert.data.drawing.film import crop, expose, photograph
from chexpert.data.drawing.frontal import frontal
from chexpert.data.drawing.grid import Field, Grid, Stroke
from chexpert.data.drawing.knobs import Knobs
from chexpert.data.drawing.lateral import lateral
from chexpert.data.drawing.plan import Plan, make_plan
from chexpert.data.drawing.truth import Truth
from chexpert.domain.observations import PARENTS, Observation

__all__ = ["render"]

_O = Observation

_BRANCHES = 13
"""Vessels of a lung."""

_AIR = np.float32(0.85)
"""What a full thickness of air takes off the attenuation of the wall around it."""


def render(
    patient: Patient,
    projection: Projection,
    truth: Truth,
    *,
    master: int,
    rng: np.random.Generator,
    knobs: Knobs,
) -> Field:
    """Film of one patient, in [0, 1]; at most `master` pixels high and wide."""
    size = rng.normal(0.86, 0.04) if patient.child else rng.normal(1.0, 0.03)
    pose = Grid(
        master,
        rotation=float(rng.normal(0, 0.035)),
        scale=float(size),
        shift=(float(rng.normal(0, 0.03)), float(rng.normal(0.04, 0.03))),
    )
    plan = make_plan(patient, projection, truth, rng)
    chest = lateral(pose, patient, plan) if projection == "LATERAL" else frontal(pose, patient, projection, plan)
    _findings(chest, plan, rng)
    film = crop(expose(_attenuation(chest, plan, rng), projection, rng, knobs), rng)
    if rng.random() < knobs.phone_photo:
        film = photograph(film, rng)
    return 1 - film if rng.random() < knobs.inverted else film


def _findings(chest: Chest, plan: Plan, rng: np.random.Generator) -> None:
    present = plan.present
    lungs = {lung.side: lung for lung in chest.lungs}
    any_lung = chest.lungs[0]
    drawers = {
        _O.EDEMA: airspace.edema,
        _O.CONSOLIDATION: airspace.consolidation,
        _O.PNEUMONIA: airspace.pneumonia,
        _O.LUNG_LESION: airspace.lesion,
        _O.PLEURAL_OTHER: pleura.thickening,
    }
    for observation, draw in drawers.items():
        if observation in present:
            draw(chest, rng)
    if _O.LUNG_OPACITY in present and not any(child in present for child, p in PARENTS.items() if p is _O.LUNG_OPACITY):
        airspace.haze(chest, rng)
    if plan.collapse:
        airspace.atelectasis(chest, rng, lungs.get(plan.collapse, any_lung))
    for side, height in plan.effusions.items():
        pleura.effusion(chest, rng, lungs.get(side, any_lung), height)
    if plan.pneumothorax is not None:
        side, share = plan.pneumothorax
        pleura.pneumothorax(chest, rng, lungs.get(side, any_lung), share)


def _attenuation(chest: Chest, plan: Plan, rng: np.random.Generator) -> Field:
    grid, patient = chest.grid, chest.patient
    own = np.random.default_rng(patient.texture)
    aerated = sum((lung.depth for lung in chest.lungs[1:]), chest.lungs[0].depth)
    result = chest.tissue - _AIR * chest.air
    result += np.float32(0.26) * grid.draw(_vessels(chest, own)) * chest.air * chest.vessel_gain
    result += np.float32(0.16) * grid.smooth_noise(rng, 5) * np.float32(0.35)
    if chest.projection == "LATERAL":
        result += np.float32(0.13) * grid.draw(_oblique(patient, own))
    else:
        lines = bones.ribs(patient, own)
        callus: list[Stroke] = []
        if _O.FRACTURE in plan.present:
            lines, callus = bones.fractured(lines, rng)
        rim = [Stroke(line, 0.06, 0.55) for line in lines]
        core = [Stroke(line, 0.034, 0.40) for line in lines]
        bright = np.float32(0.11) + np.float32(0.15) * aerated  # scatter veils them where the body is dense
        result += bright * grid.draw([*rim, *core, *bones.clavicles(patient, rng), *callus])
        if chest.projection == "AP":
            result += np.float32(0.22) * grid.draw(bones.blades(patient))
    if chest.faint:
        result += np.float32(0.28) * grid.draw(chest.faint) * (aerated > 0)
    if chest.bronchi:
        result -= np.float32(0.22) * grid.draw(chest.bronchi)
    if _O.SUPPORT_DEVICES in plan.present:
        chest.dense += devices(patient, rng, lateral=chest.projection == "LATERAL")
    if chest.dense:
        result += np.float32(0.75) * grid.draw(chest.dense)
    return result


def _vessels(chest: Chest, rng: np.random.Generator) -> list[Stroke]:
    """Branches from each hilum, thinner and fainter outwards."""
    strokes = []
    steps = np.array([0.0, 0.3, 0.62, 0.9])
    for lung in chest.lungs:
        fan, hilum, reach = (np.pi, 0.0, 0.95) if lung.side == 0 else (1.45, -0.85, 1.75)
        angle = rng.uniform(-fan, fan, (_BRANCHES, 1))
        u = hilum + reach * steps * np.cos(angle) + rng.normal(0, 0.05, (_BRANCHES, 4))
        v = 0.55 + 0.5 * steps * np.sin(angle) + rng.normal(0, 0.015, (_BRANCHES, 4))
        branches = np.stack(lung.placed(np.clip(u, -1, 0.97), v), axis=-1)
        for points in branches:
            for piece, width in enumerate((0.034, 0.024, 0.014)):
                strokes.append(Stroke(points[piece : piece + 2], width * chest.congestion, 0.9 - 0.2 * piece))
    return strokes


def _oblique(patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    """Ribs and breastbone from the side."""
    strokes = [Stroke(np.array([[-0.58, patient.apex + 0.2], [-0.62, patient.base - 0.1]]), 0.05, 0.9)]
    for index in range(8):
        y = patient.apex + 0.08 + 0.13 * index + rng.normal(0, 0.01)
        strokes.append(Stroke(np.array([[0.5, y], [0.1, y + 0.1], [-0.3, y + 0.26]]), 0.035, 0.6))
    return strokes
