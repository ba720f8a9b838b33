"""What one check found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Finding", "Scope", "State"]


class State(StrEnum):
    """How it stands."""

    OK = "ok"
    MISSING = "missing"
    """Not there, or not working."""
    TOO_OLD = "too old"
    ABSENT = "absent"
    """Not there, and the platform runs without it."""
    UNKNOWN = "unknown"
    """Cannot be told from here, or by this account."""

    @property
    def bad(self) -> bool:
        """Whether the platform does not work like this."""
        return self in {State.MISSING, State.TOO_OLD}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table."""

    check: str
    state: State
    found: str
    remedy: str = ""
    """How to get it; empty where nothing is amiss."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the platform is, or shall be."""

    namespace: str
    """Of the chart and the workflows."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Data of the ConfigMap chexpert there; empty: it is not installed yet."""

    @property
    def environments(self) -> Mapping[str, str]:
        """Namespace of each environment's InferenceService; empty until the ConfigMap says them."""
        pattern = self.places.get("CHEXPERT_INFERENCE_SERVICE", "").partition("/")[0]
        names = ("staging", "production")
        return {name: pattern.format(environment=name) for name in names} if pattern else {}

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All of the platform's own."""
        return (self.namespace, *self.environments.values())
