"""How a network is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from chexpert.domain.labels import DEFAULT_POLICIES, UncertaintyPolicy
from chexpert.domain.observations import Observation

__all__ = ["Augmentation", "TrainingSettings", "recipe"]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Largest random change of a training image. No flip: the heart's side is a finding."""

    rotation_degrees: float = 4.0
    """Either way; 0 switches it off."""
    shift: float = 0.03
    """Share of the side, in both directions; 0 switches it off."""
    scale: float = 0.04
    """0.04: between 0.96 and 1.04 times; 0 switches it off."""
    contrast: float = 0.08
    """Around the middle grey; 0 switches it off."""
    brightness: float = 0.04
    """Added grey, of a range of 1; 0 switches it off."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """All that decides the result besides data and network. Equal settings give equal weights on one machine."""

    epochs: int = 6
    """Passes over the training split."""
    batch: int = 16
    """Images of one step, over all processes.

    On 1,275 phantoms small-cnn reached AUROC 0.767 with 16 and 0.732 with 32 in 6 epochs.
    """
    learning_rate: float = 4e-3
    """Of AdamW at its peak; see `recipe` for each network's."""
    weight_decay: float = 0.02
    """Of AdamW, on matrices and kernels; 0 switches it off."""
    warm_up: float = 0.1
    """Share of all steps over which the rate rises; after it, it falls as a cosine. 0 switches it off."""
    gradient_norm: float = 1.0
    """Longer gradients are cut to this; 0 switches it off."""
    seed: int = 0
    """Of weights, order, augmentation and the targets drawn for uncertain labels."""
    policies: Mapping[Observation, UncertaintyPolicy] = field(default_factory=lambda: DEFAULT_POLICIES)
    """How an uncertain label is read; an observation without one is ignored there."""
    masked_blanks: frozenset[str] = frozenset({"feedback"})
    """Sources whose blanks are left out of the loss: a reader who skipped a finding said nothing. Elsewhere a blank is
    absent, as a report mentions what is there."""
    impute_parents: bool = True
    """A parent is present where a child is: CheXpert's training labels miss it in half of the cases."""
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    """None switches it off."""
    best_by: Literal["loss", "auroc"] = "loss"
    """What of the split tune chooses the epoch. On a few hundred images the loss is the steadier of the two."""
    precision: str = "32-true"
    """Lightning's word: bf16-mixed on a GPU, 64-true to compare runs digit by digit. Weights are kept as float32."""
    threads: int = 0
    """CPU threads; 0: as many as affinity mask and cgroup quota allow."""
    max_seconds: float = 0.0
    """Stop after the epoch in which this is passed; 0 switches it off. Breaks repeatability."""


_RECIPES: Final[Mapping[str, tuple[int, int, float, int]]] = MappingProxyType(
    {
        "small-cnn": (6, 16, 4e-3, 1),
        "small-vit": (10, 16, 1e-3, 1),
        "densenet121": (3, 32, 1e-4, 0),
        "vit-s16": (5, 32, 3e-5, 0),
    },
)
"""Epochs, batch, rate, threads. The small ones were compared on phantoms at 64 px; the others are published recipes.

One thread for the small ones: their steps are too short to share, and on a busy pair of CPUs the threads' waiting for
each other took small-cnn from 390 to 92 images/s. Two of them are better trained beside each other.
"""


def recipe(network: str) -> TrainingSettings:
    """Settings that suit a network by its name; the defaults for one without a recipe."""
    if network not in _RECIPES:
        return TrainingSettings()
    epochs, batch, learning_rate, threads = _RECIPES[network]
    return TrainingSettings(epochs=epochs, batch=batch, learning_rate=learning_rate, threads=threads)
