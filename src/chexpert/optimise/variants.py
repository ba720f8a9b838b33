"""Export each variant of a network, measure it, and choose the one to serve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from chexpert.bundle.errors import RuntimeUnavailable
from chexpert.bundle.sessions import Session, open_graph
from chexpert.domain.observations import Observation
from chexpert.domain.predictions import flag
from chexpert.evaluation.bootstrap import Interval, paired_bootstrap
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.optimise.choice import VariantComparison, VariantRow, choose
from chexpert.optimise.correction import corrected, mean_error
from chexpert.optimise.export import Served
from chexpert.optimise.graphs import graphs
from chexpert.optimise.kinds import FP32, KINDS, Kind
from chexpert.optimise.measure import speeds
from chexpert.optimise.parity import Scores, Source, max_abs, session_scores, torch_scores
from chexpert.optimise.settings import VariantSettings

__all__ = ["Images", "compare"]


@dataclass(frozen=True, slots=True)
class Images:
    """What the variants are compared on."""

    pixels: Source
    """Of a part of the images, such as `lambda part: shards.take(rows[part])`."""
    labels: NDArray[np.float32]
    """(n, 14); what is neither 0 nor 1 is masked."""
    patients: NDArray[Any]
    """(n,)."""
    calibration: NDArray[np.uint8]
    """(m, 1, H, W): other images, that static int8 takes the ranges of activations from, mixtures of int8 and float the
    products that are rounded, and each variant of reduced precision its mean error."""


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
    """Export the variants that the settings name, measure them, and choose.

    Args:
        module: Images in [0, 1] to logits; put into eval mode.
        calibration: From the calibration split.
        spec: Preprocessing of the graph's input.
        images: What scores, AUROC and flags are compared on.
        thresholds: Operating points, for the flags.
        folder: Where the graphs are written, each as `<name>.onnx`.
        subject: What the verdict is about, such as the model's digest.
        settings: Limits and effort.

    Raises:
        WrongCalibration, NotExportable, NoCalibrationImages: From the export.
    """
    kinds = [KINDS[name] for name in settings.variants]
    pixels = images.calibration[: settings.calibration_images]
    made = graphs(
        module, calibration, spec, pixels, kinds=kinds, thresholds=thresholds, folder=folder, settings=settings
    )
    candidates = _candidates(kinds, made, spec, pixels, folder=folder, settings=settings)
    sessions = {one.kind.name: one.session for one in candidates if one.session is not None}
    count = len(images.labels)
    by_torch = torch_scores(Served(module, calibration), images.pixels, count)
    scores = {name: session_scores(session, images.pixels, count) for name, session in sessions.items()}
    measured = speeds(sessions, settings)
    rows = [
        VariantRow(
            name=kind.name,
            path=one.path,
            precision=kind.precision,
            size_bytes=one.path.stat().st_size,
            runtime=kind.runtime,
            latency_ms_p50=measured[kind.name].latency_ms_p50,
            latency_ms_p95=measured[kind.name].latency_ms_p95,
            latency_ms_p99=measured[kind.name].latency_ms_p99,
            images_per_s=measured[kind.name].images_per_s,
            parity_max_abs=max_abs(scores[kind.name], by_torch),
            score_change_max=max_abs(scores[kind.name], scores[FP32]),
            auroc_change=_auroc_change(images, scores[kind.name], scores[FP32], settings),
            flag_agreement=_agreement(scores[kind.name], scores[FP32], thresholds),
            scores=scores[kind.name],
        )
        if kind.name in sessions
        else VariantRow.absent(kind, one.path, one.unavailable)
        for kind, one in zip(kinds, candidates, strict=True)
    ]
    return choose(rows, settings, subject=subject)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A variant before it is measured."""

    kind: Kind
    path: Path
    session: Session | None
    unavailable: str = ""
    """Why this machine cannot run it."""


def _candidates(
    kinds: Sequence[Kind],
    made: Mapping[str, Path],
    spec: PreprocessSpec,
    pixels: NDArray[np.uint8],
    *,
    folder: Path,
    settings: VariantSettings,
) -> list[_Candidate]:
    """Each variant opened; those of reduced precision without their mean error on these pixels."""

    def opened(kind: Kind, path: Path) -> _Candidate:
        try:
            session = open_graph(
                path.read_bytes(),
                spec.size,
                where=kind.name,
                threads=settings.threads,
                runtime=kind.runtime,
                precision=kind.precision,
            )
        except RuntimeUnavailable as error:
            return _Candidate(kind, path, None, error.reason)
        return _Candidate(kind, path, session)

    def answers(session: Session) -> Scores:
        return session_scores(session, lambda part: pixels[part], len(pixels))

    def without_mean_error(one: _Candidate) -> _Candidate:
        if one.session is None or not one.kind.reduced:
            return one
        error = mean_error(answers(one.session), reference)
        return opened(one.kind, corrected(one.path, folder / f"{one.kind.name}.onnx", error))

    plain = [opened(kind, made[kind.graph]) for kind in kinds]
    reference = next(answers(one.session) for one in plain if one.kind.name == FP32 and one.session is not None)
    return [without_mean_error(one) for one in plain]


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
