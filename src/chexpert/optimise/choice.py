"""The rule: the fastest variant that loses nothing, and why each other one lost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chexpert.bundle.card import VariantFacts
from chexpert.bundle.compared import AurocChange, Compared
from chexpert.domain.digests import of_value
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation.bootstrap import Interval
from chexpert.optimise.kinds import FP32, Kind
from chexpert.optimise.settings import VariantSettings

__all__ = ["GATE", "VariantComparison", "VariantRow", "choose"]

GATE: Final = "variants"


_NOT_MEASURED: Final = Interval(nan, nan, nan)
_NO_SCORES: Final = np.empty((0, len(OBSERVATIONS)), np.float32)


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One variant as it was measured; NaN, or none, for what was not."""

    name: str
    path: Path
    precision: str
    size_bytes: int
    runtime: str = "onnxruntime"
    latency_ms_p50: float = nan
    """One image."""
    latency_ms_p95: float = nan
    latency_ms_p99: float = nan
    images_per_s: Mapping[int, float] = field(default_factory=dict)
    """By the images of one run."""
    parity_max_abs: float = nan
    """Largest score difference against torch."""
    score_change_max: float = nan
    """Largest score difference against fp32."""
    auroc_change: Interval = _NOT_MEASURED
    """Mean AUROC minus that of fp32."""
    flag_agreement: float = nan
    """Share of images flagged as by fp32."""
    unavailable: str = ""
    """Why it cannot run on this machine; empty: it can."""
    lost: str = ""
    """Why it was not chosen; empty: it was."""
    scores: NDArray[np.float32] = field(default_factory=lambda: _NO_SCORES, compare=False, repr=False)
    """Of the compared images, (n, 14)."""

    @classmethod
    def absent(cls, kind: Kind, path: Path, reason: str) -> "VariantRow":
        """One that this machine cannot run."""
        return cls(kind.name, path, kind.precision, path.stat().st_size, kind.runtime, unavailable=reason)

    def facts(self) -> VariantFacts:
        """For the card of one that was measured; None for what is not finite."""
        change = self.auroc_change
        return VariantFacts(
            name=self.name,
            precision=self.precision,
            size_bytes=self.size_bytes,
            latency_ms_p50=self.latency_ms_p50,
            parity_max_abs=_finite(self.parity_max_abs),
            runtime=self.runtime,
            compared=Compared(
                latency_ms_p95=self.latency_ms_p95,
                latency_ms_p99=self.latency_ms_p99,
                images_per_s=self.images_per_s,
                score_change_max=_finite(self.score_change_max),
                auroc_change=None if isnan(change.low) else AurocChange(change.estimate, change.low, change.high),
                flag_agreement=_finite(self.flag_agreement),
            ),
        )

    def evidence(self) -> dict[str, Any]:
        """JSON-like row of the verdict's table; None for what was not measured."""
        row = {key: value for key, value in asdict(self).items() if key not in {"path", "unavailable", "scores"}}
        rates = {str(batch): rate for batch, rate in self.images_per_s.items()}
        plain = {key: _finite(value) if isinstance(value, float) else value for key, value in row.items()}
        return {**plain, "auroc_change": self.auroc_change.to_dict(), "images_per_s": rates}


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """All variants, the one to serve, and the verdict."""

    rows: tuple[VariantRow, ...]
    chosen: VariantRow | None
    """None where even fp32 does not answer as torch does."""
    verdict: Verdict


def choose(rows: Sequence[VariantRow], settings: VariantSettings, *, subject: str) -> VariantComparison:
    """Judge measured variants, one of which is fp32.

    Args:
        rows: Their `lost` is filled in.
        settings: Limits.
        subject: What the verdict is about, such as the model's digest.
    """
    reference = next(row for row in rows if row.name == FP32)
    broken = _broken(reference, settings)
    losses = {row.name: broken or _loss(row, reference, settings) for row in rows}
    sound = [row for row in rows if not losses[row.name]]
    chosen = min(sound, key=lambda row: row.latency_ms_p50, default=None)
    if chosen is not None:
        losses |= {row.name: _slower(row, chosen) for row in sound if row is not chosen}
    judged = tuple(replace(row, lost=losses[row.name]) for row in rows)
    verdict = Verdict.judge(
        GATE,
        subject,
        [broken] if broken else [],
        otherwise="; ".join(
            f"{row.name} {f'lost: {row.lost}' if row.lost else f'is served: {row.latency_ms_p50:.2f} ms p50'}"
            for row in sorted(judged, key=lambda row: bool(row.lost))
        ),
        evidence=[row.evidence() for row in judged],
        thresholds=asdict(settings),
        inputs_digest=of_value([row.evidence() for row in rows]),
    )
    return VariantComparison(judged, next((row for row in judged if not row.lost), None), verdict)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _broken(reference: VariantRow, settings: VariantSettings) -> str:
    if reference.parity_max_abs <= settings.parity:
        return ""
    return f"fp32 differs from torch by {reference.parity_max_abs:.2g}, more than {settings.parity:.2g}"


def _loss(row: VariantRow, reference: VariantRow, settings: VariantSettings) -> str:
    """What a variant loses against fp32, or why it is not worth it; empty: nothing."""
    if row is reference:
        return ""
    if row.unavailable:
        return f"it cannot run here: {row.unavailable}"
    reasons = []
    change = row.auroc_change
    if isnan(change.low):
        reasons.append("its change of AUROC could not be measured")
    elif change.low <= -settings.auroc_loss:
        reasons.append(f"mean AUROC may fall by {-change.low:.4f}, more than {settings.auroc_loss:g}")
    if row.flag_agreement < settings.flag_agreement:
        reasons.append(f"{row.flag_agreement:.1%} of images are flagged alike, under {settings.flag_agreement:.1%}")
    limit = reference.latency_ms_p50 * (1.0 - settings.worthwhile)
    if row.latency_ms_p50 > reference.latency_ms_p50:
        reasons.append(_slower(row, reference))
    elif row.latency_ms_p50 > limit:
        reasons.append(
            f"{row.latency_ms_p50:.2f} ms against {reference.latency_ms_p50:.2f} of fp32 saves less than "
            f"{settings.worthwhile:.0%}",
        )
    return ", ".join(reasons)


def _slower(row: VariantRow, other: VariantRow) -> str:
    return f"slower: {row.latency_ms_p50:.2f} ms against {other.latency_ms_p50:.2f} of {other.name}"
