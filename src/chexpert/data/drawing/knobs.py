"""What may drift: the simulator turns these, training data keeps the defaults."""

from dataclasses import dataclass

from chexpert.domain.errors import InputError

__all__ = ["InvalidKnob", "Knobs"]


class InvalidKnob(InputError):
    """A knob beyond its range."""

    def __init__(self, name: str, value: float, *, allowed: str) -> None:
        super().__init__(f"phantom knob {name} is {value}: {allowed} is expected")
        self.name = name
        self.value = value


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the drawn images differ from the usual. Shares and the rest are independent of the findings."""

    gamma: float = 1.0
    """Exponent on grey levels in [0, 1]; 1 changes nothing, 1.6 is a visibly darker detector."""
    noise: float = 1.0
    """Factor on the quantum noise; 0 switches it off, 4 is a low-dose detector."""
    prevalence: float = 1.0
    """Factor on the odds of every finding; 0 draws no finding at all."""
    paediatric: float = 0.0
    """Share of children of 1 to 5 years: round thorax, large heart, horizontal ribs."""
    phone_photo: float = 0.0
    """Share photographed from a screen: tilt, glare, moire, blur (CheXphoto)."""
    lateral: float = 0.12
    """Share of lateral views; CheXpert has 0.145."""
    inverted: float = 0.01
    """Share stored with black and white exchanged."""

    def __post_init__(self) -> None:
        for name in ("gamma", "noise", "prevalence"):
            if getattr(self, name) < 0.0:
                raise InvalidKnob(name, getattr(self, name), allowed="0 or more")
        for name in ("paediatric", "phone_photo", "lateral", "inverted"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InvalidKnob(name, getattr(self, name), allowed="a share from 0 to 1")
