"""Export each variant of a network, measure it, and choose the one to serve."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from chexpert.bundle.sessions import open_graph
from chexpert.domain.observations import Observation
from chexpert.domain.predictions import flag
from chexpert.evaluation.bootstrap import Interval, paired_bootstrap
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.optimise.choice import FP32, VariantComparison, VariantRow, choose
from chexpert.optimise.export import Served, export
from chexpert.optimise.measure import speeds
from chexpert.optimise.parity import Scores, Source, max_abs, session_scores, torch_scores
from chexpert.optimise.quantise import dynamic_int8
from chexpert.optimise.settings import VariantSettings

__all__ = ["INT8", "Images", "compare"]

INT8: Final = "dynamic-int8"


@dataclass(frozen=True, slots=True)
class Images:
    """What the variants are compared on."""

    pixels: Source
    """Of a part of the images, such as `lambda part: shards.take(rows[part])`."""
    labels: NDArray[np.float32]
    """(n, 14); what is neither 0 nor 1 is masked."""
    patients: NDArray[Any]
    """(n,)."""


def compare(
    module: nn.Module,
    calibration: Platt,
    spec: PreprocessSpec,
    images: Images,
    *,
    thresholds: Mapping[Observation, float],
    folder: Path,
    subject: str,
    settings: VariantSettings,
) -> VariantComparison:
    """Export fp32 and dynamic int8, measure both, and choose.

    Args:
        module: Images in [0, 1] to logits; put into eval mode.
        calibration: From the calibration split.
        spec: Preprocessing of the graph's input.
        images: What scores, AUROC and flags are compared on.
        thresholds: Operating points, for the flags.
        folder: Where `<name>.onnx` of each variant is written.
        subject: What the verdict is about, such as the model's digest.
        settings: Limits and effort.

    Raises:
        WrongCalibration, NotExportable: From the export.
    """
    exported = export(module, calibration, spec, folder / f"{FP32}.onnx")
    paths = {FP32: exported, INT8: dynamic_int8(exported, folder / f"{INT8}.onnx")}
    sessions = {
        name: open_graph(path.read_bytes(), spec.size, where=str(path), threads=settings.threads)
        for name, path in paths.items()
    }
    count = len(images.labels)
    by_torch = torch_scores(Served(module, calibration), images.pixels, count)
    scores = {name: session_scores(session, images.pixels, count) for name, session in sessions.items()}
    measured = speeds(sessions, settings)
    rows = [
        VariantRow(
            name=name,
            path=path,
            precision={FP32: "float32", INT8: "int8"}[name],
            size_bytes=path.stat().st_size,
            latency_ms_p50=measured[name].latency_ms_p50,
            latency_ms_p95=measured[name].latency_ms_p95,
            images_per_s=measured[name].images_per_s,
            parity_max_abs=max_abs(scores[name], by_torch),
            score_change_max=max_abs(scores[name], scores[FP32]),
            auroc_change=_auroc_change(images, scores[name], scores[FP32], settings),
            flag_agreement=_agreement(scores[name], scores[FP32], thresholds),
        )
        for name, path in paths.items()
    ]
    return choose(rows, settings, subject=subject)


def _auroc_change(images: Images, scores: Scores, reference: Scores, settings: VariantSettings) -> Interval:
    if scores is reference:
        return Interval(0.0, 0.0, 0.0)
    if not np.isfinite(scores).all():
        return Interval(float("nan"), float("nan"), float("nan"))
    return paired_bootstrap(
        images.labels,
        scores,
        reference,
        images.patients,
        rounds=settings.rounds,
        seed=settings.seed,
    )


def _agreement(scores: Scores, reference: Scores, thresholds: Mapping[Observation, float]) -> float:
    pairs = zip(scores.tolist(), reference.tolist(), strict=True)
    same = [flag(a, thresholds) == flag(b, thresholds) for a, b in pairs]
    return sum(same) / len(same) if same else float("nan")
