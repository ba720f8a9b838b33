"""The ONNX files that the variants run: one export, and what is made of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from chexpert.domain.observations import Observation
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.optimise.blocks import quantised_first
from chexpert.optimise.errors import NoCalibrationImages
from chexpert.optimise.export import export
from chexpert.optimise.kinds import DYNAMIC_INT8, FP32, INPUTS_INT8, MIXED_SHARES, STATIC_INT8, Kind
from chexpert.optimise.mixed import Rounding
from chexpert.optimise.quantise import dynamic_int8, folded, static_int8
from chexpert.optimise.settings import VariantSettings

__all__ = ["graphs"]


def graphs(
    module: nn.Module,
    calibration: Platt,
    spec: PreprocessSpec,
    pixels: NDArray[np.uint8],
    *,
    kinds: Sequence[Kind],
    thresholds: Mapping[Observation, float],
    folder: Path,
    settings: VariantSettings,
) -> dict[str, Path]:
    """The files that these kinds run, by name; those of reduced precision still with their mean error.

    Args:
        module: As `export`.
        calibration: As `export`.
        spec: As `export`.
        pixels: (n, 1, H, W) images for int8.
        kinds: Their graphs are made.
        thresholds: Operating points: mixtures of int8 and float keep the flags.
        folder: fp32 is written into it, the others below.
        settings: Limits and effort.

    Raises:
        NoCalibrationImages: A kind of reduced precision, and no pixels.
        WrongCalibration, NotExportable: From the export.
    """
    if not len(pixels) and any(kind.reduced for kind in kinds):
        raise NoCalibrationImages
    needed = {kind.graph for kind in kinds}
    mixtures = MIXED_SHARES.keys() & needed
    below = folder / "uncorrected"
    below.mkdir(parents=True, exist_ok=True)

    def path(name: str) -> Path:
        return below / f"{name}.onnx"

    made = {FP32: export(module, calibration, spec, folder / f"{FP32}.onnx")}
    if DYNAMIC_INT8 in needed:
        made[DYNAMIC_INT8] = dynamic_int8(made[FP32], path(DYNAMIC_INT8))
    if needed - made.keys():
        plain = folded(made[FP32], path("folded"))
    if STATIC_INT8 in needed:
        made[STATIC_INT8] = static_int8(plain, path(STATIC_INT8), pixels, outputs=True)
    if INPUTS_INT8 in needed or mixtures:
        made[INPUTS_INT8] = static_int8(plain, path(INPUTS_INT8), pixels, outputs=False)
    if mixtures:
        rounding = Rounding(plain, made[INPUTS_INT8], pixels, threads=settings.threads, tried=settings.trial_images)
        parts = rounding.parts()
        for name in mixtures:
            share = MIXED_SHARES[name] * (1.0 - settings.flag_agreement)
            onnx.save(rounding.as_many(parts, thresholds, share), str(path(name)))
            made[name] = path(name)
    for name in made.keys() & {INPUTS_INT8, *mixtures}:
        onnx.save(quantised_first(onnx.load(str(made[name]))), str(made[name]))
    return made
