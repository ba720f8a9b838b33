"""What a variant was chosen or refused by: its figures beside fp32's, as they stand in its card."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from chexpert.bundle import reading
from chexpert.bundle.errors import BrokenBundle

__all__ = ["AurocChange", "Compared", "from_plain"]

_LATENCIES: Final = ("latency_ms_p95", "latency_ms_p99")
_SHARES: Final = ("score_change_max", "flag_agreement")
_KEYS: Final = {*_LATENCIES, *_SHARES, "images_per_s", "auroc_change"}


@dataclass(frozen=True, slots=True)
class AurocChange:
    """Mean AUROC minus that of fp32 on the same images, with its paired 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Measured side by side with the model's other variants, on the machine of the export."""

    latency_ms_p95: float
    """One image."""
    latency_ms_p99: float
    images_per_s: Mapping[int, float]
    """By the images of one run."""
    score_change_max: float | None
    """Largest score difference against fp32; None where an answer was not finite."""
    auroc_change: AurocChange | None
    """None where it could not be measured."""
    flag_agreement: float | None
    """Share of images flagged as by fp32; None without images."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, the images of a run as text."""
        return {**asdict(self), "images_per_s": {str(batch): rate for batch, rate in self.images_per_s.items()}}


def from_plain(where: str, key: str, value: Any) -> Compared:
    """Inverse of `to_dict`; `where` and `key` say in errors whose card and which part of it this is.

    Raises:
        BrokenBundle: Naming what is missing, unknown, of a wrong kind, or no such figure.
    """
    reading.require_keys(where, key, value, _KEYS)
    shares = {name: None if value[name] is None else _within(where, f"{key}.{name}", value[name]) for name in _SHARES}
    p95, p99 = (_positive(where, f"{key}.{name}", value[name]) for name in _LATENCIES)
    change = value["auroc_change"]
    return Compared(
        latency_ms_p95=p95,
        latency_ms_p99=p99,
        images_per_s=_rates(where, f"{key}.images_per_s", value["images_per_s"]),
        auroc_change=None if change is None else _change(where, f"{key}.auroc_change", change),
        **shares,
    )


def _rates(where: str, key: str, value: Any) -> dict[int, float]:
    rates = reading.typed(where, key, value, dict)
    for batch in rates:
        if not batch.isdecimal() or batch != str(int(batch)) or batch == "0":
            raise BrokenBundle(where, f"card.json: {key} has {batch!r}, which is no number of images")
    return {int(batch): _positive(where, f"{key}.{batch}", rate) for batch, rate in rates.items()}


def _change(where: str, key: str, value: Any) -> AurocChange:
    change = reading.record(where, key, AurocChange, value)
    if not -1.0 <= change.low <= change.high <= 1.0:
        raise BrokenBundle(where, f"card.json: {key} is [{change.low}, {change.high}], no interval of a change")
    return change


def _within(where: str, key: str, value: Any) -> float:
    number = reading.typed(where, key, value, float)
    if not 0.0 <= number <= 1.0:
        raise BrokenBundle(where, f"card.json: {key} is {number}, not within [0, 1]")
    return number


def _positive(where: str, key: str, value: Any) -> float:
    number = reading.typed(where, key, value, float)
    if number <= 0.0:
        raise BrokenBundle(where, f"card.json: {key} is {number}, not above 0")
    return number
