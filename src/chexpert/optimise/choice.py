"""The rule: the fastest variant that loses nothing, and why each other one lost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any, Final

from chexpert.bundle.card import VariantFacts
from chexpert.domain.digests import of_value
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation.bootstrap import Interval
from chexpert.optimise.settings import VariantSettings

__all__ = ["FP32", "GATE", "VariantComparison", "VariantRow", "choose"]

FP32: Final = "fp32"
GATE: Final = "variants"


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One variant as it was measured."""

    name: str
    path: Path
    precision: str
    size_bytes: int
    latency_ms_p50: float
    latency_ms_p95: float
    images_per_s: float
    parity_max_abs: float
    """Largest score difference against torch."""
    score_change_max: float
    """Largest score difference against fp32."""
    auroc_change: Interval
    """Mean AUROC minus that of fp32; NaN where it could not be measured."""
    flag_agreement: float
    """Share of images flagged as by fp32."""
    lost: str = ""
    """Why it was not chosen; empty: it was."""

    def facts(self) -> VariantFacts:
        """For the card."""
        return VariantFacts(
            name=self.name,
            precision=self.precision,
            size_bytes=self.size_bytes,
            latency_ms_p50=self.latency_ms_p50,
            parity_max_abs=self.parity_max_abs,
        )

    def evidence(self) -> dict[str, Any]:
        """JSON-like row of the verdict's table."""
        row = {key: value for key, value in asdict(self).items() if key != "path"}
        return {**row, "auroc_change": self.auroc_change.to_dict()}


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


def _broken(reference: VariantRow, settings: VariantSettings) -> str:
    if reference.parity_max_abs <= settings.parity:
        return ""
    return f"fp32 differs from torch by {reference.parity_max_abs:.2g}, more than {settings.parity:.2g}"


def _loss(row: VariantRow, reference: VariantRow, settings: VariantSettings) -> str:
    """What a variant loses against fp32, or why it is not worth it; empty: nothing."""
    if row is reference:
        return ""
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
