"""What a variant may cost, and how it is measured."""

from dataclasses import dataclass

__all__ = ["VariantSettings"]


@dataclass(frozen=True, slots=True)
class VariantSettings:
    """Limits and effort of the comparison."""

    parity: float = 1e-4
    """Largest score difference between fp32 and torch: above it the export is wrong (2e-7 is usual)."""
    auroc_loss: float = 0.005
    """Largest loss of mean AUROC against fp32, at the lower end of the paired interval."""
    flag_agreement: float = 0.995
    """Smallest share of images that are flagged as by fp32."""
    worthwhile: float = 0.05
    """Smallest share of latency a variant must save over fp32: less is within the noise. 0 switches it off."""
    latency_runs: int = 60
    """Single images per variant, the variants taking turns."""
    throughput_batch: int = 16
    throughput_runs: int = 6
    rounds: int = 500
    """Bootstrap rounds."""
    seed: int = 0
    """Of the bootstrap."""
    threads: int = 0
    """Of one run; 0: as many CPUs as affinity mask and cgroup quota allow."""
