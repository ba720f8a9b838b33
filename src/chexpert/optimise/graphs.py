"""The ONNX files that the variants run: one export, and what is made of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from chexpert.domain.observations import Observation
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.optimise.blocks import quantised_first
from chexpert.optimise.compensation import Compensation
from chexpert.optimise.errors import NoCalibrationImages
from chexpert.optimise.export import export
from chexpert.optimise.kinds import BFLOAT16, DYNAMIC_INT8, FP32, INPUTS_INT8, MIXTURES, STATIC_INT8, Kind
from chexpert.optimise.levels import levelled
from chexpert.optimise.mixed import Rounding
from chexpert.optimise.quantise import dynamic_int8, folded, static_int8
from chexpert.optimise.settings import VariantSettings
from chexpert.optimise.stem import with_whole_pixels

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
    if needed <= made.keys():
        return made
    for name, graph in _compensated(plain, pixels, below, needed=needed, thresholds=thresholds, settings=settings):
        made[name] = path(name)
        onnx.save(graph, str(made[name]))
    return made


def _compensated(
    plain: Path,
    pixels: NDArray[np.uint8],
    below: Path,
    *,
    needed: Collection[str],
    thresholds: Mapping[Observation, float],
    settings: VariantSettings,
) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The graphs for OpenVINO: bf16, int8 with exact sums, and what mixes them."""
    level = levelled(with_whole_pixels(onnx.load(str(plain))), pixels, threads=settings.threads)
    compensation = Compensation(level, pixels, threads=settings.threads)
    mixtures = {name: mixture for name, mixture in MIXTURES.items() if name in needed}
    rest = {"int8": level}
    if BFLOAT16 in needed or any(mixture.precision == "int8-bfloat16" for mixture in mixtures.values()):
        rest["int8-bfloat16"] = compensation.bfloat16()
        yield BFLOAT16, rest["int8-bfloat16"]
    if INPUTS_INT8 not in needed and not mixtures:
        return
    onnx.save(level, str(below / "levelled.onnx"))
    nearest = static_int8(below / "levelled.onnx", below / "nearest-int8.onnx", pixels, outputs=False)
    int8 = compensation.int8(onnx.load(str(nearest)))
    yield INPUTS_INT8, quantised_first(int8)
    if not mixtures:
        return
    rounding = Rounding(level, int8, pixels, threads=settings.threads)
    parts = rounding.parts(settings.trial_images)
    for name, mixture in mixtures.items():
        share, precision = mixture.share * (1.0 - settings.flag_agreement), mixture.precision
        mixed = rounding.as_many(parts, thresholds, share, rest=rest[precision], precision=precision)
        yield name, quantised_first(mixed)
