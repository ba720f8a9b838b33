"""What a demo run is made of: its data, traffic, sizes and folder."""

from dataclasses import dataclass
from pathlib import Path

from chexpert.local.demo.faults import Fault

__all__ = ["Plan", "Sizes"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; chosen so that the whole fits three minutes on two cores."""

    train_patients: int = 700
    """Phantom patients to train on, about two images each."""
    valid_patients: int = 200
    label_noise: float = 0.5
    """Share of the label noise of CheXpert's reports: all of it takes a small network more images than a demo has."""
    epochs: int = 5
    """Of both networks, for the time's sake; their recipes say six and ten."""
    studies: int = 60
    """Studies that arrive at the site."""
    read: int = 40
    """Of those, how many the simulated readers answer and sign; the rest stay on the worklist."""
    pool: int = 211
    """Distinct images of the V2 traffic. A prime: no version of a split meets the same ones each time."""
    requests_per_s: float = 60.0
    """V2 traffic during the rollout."""
    idle_per_s: float = 4.0
    """V2 traffic while models train: little, so that both have the cores."""
    rollout_s: float = 240.0
    """When the demo gives up waiting for a rollout to end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, decided."""

    home: Path
    data: Path
    """Training data in CheXpert's CSV layout; phantoms are drawn here first where `draws` says so."""
    draws: bool
    traffic: Path | None
    """Folder of online images; None: phantoms."""
    profile: str
    fault: Fault | None
    kserve: Path
    workflows: Path
    """argo/workflows of the checkout."""
    once: bool
    sizes: Sizes = Sizes()
