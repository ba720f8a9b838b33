"""What a variant may cost, and how it is measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from chexpert.optimise.kinds import FP32, KINDS

__all__ = ["VariantSettings"]


@dataclass(frozen=True, slots=True)
class VariantSettings:
    """Limits and effort of the comparison."""

    variants: tuple[str, ...] = tuple(KINDS)
    """Names of `kinds.KINDS`; fp32 is always among them."""
    parity: float = 1e-4
    """Largest score difference between fp32 and torch: above it the export is wrong (2e-7 is usual)."""
    auroc_loss: float = 0.005
    """Largest loss of mean AUROC against fp32, at the lower end of the paired interval."""
    flag_agreement: float = 0.995
    """Smallest share of images that are flagged as by fp32."""
    worthwhile: float = 0.05
    """Smallest share of latency a variant must save over fp32: less is within the noise. 0 switches it off."""
    latency_runs: int = 200
    """Single images per variant, the variants taking turns."""
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Images of a run whose throughput is measured."""
    throughput_runs: int = 6
    """Runs of each batch and variant."""
    calibration_images: int = 128
    """At most so many are shown to int8."""
    trial_images: int = 16
    """Of these, those that each product of a network is rounded alone on, for the mixtures of int8 and float."""
    rounds: int = 500
    """Bootstrap rounds."""
    seed: int = 0
    """Of the bootstrap."""
    threads: int = 0
    """Of one run; 0: as many CPUs as affinity mask and cgroup quota allow."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.variants if name not in KINDS]
        if unknown or FP32 not in self.variants:
            msg = f"variants are {FP32} and any of {', '.join(KINDS)}, not {', '.join(self.variants)}"
            raise ValueError(msg)

    @classmethod
    def of_profile(cls, profile: str) -> "VariantSettings":
        """As the evaluation's profile of that name asks; those not named here measure everything."""
        return cls(**_PROFILES.get(profile, {}))


# A demo must not wait for what it shows as well with less: ONNX Runtime's own variants, and fewer runs.
_BRIEF: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "variants": ("fp32", "dynamic-int8", "static-int8"),
        "latency_runs": 60,
        "batches": (1, 16),
        "calibration_images": 32,
    },
)
_PROFILES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"phantom": _BRIEF, "small-real": _BRIEF})
