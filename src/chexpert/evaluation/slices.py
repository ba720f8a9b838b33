"""Groups of patients and images in which a model may be worse: sex, age, projection, view, device, or any other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chexpert.domain.observations import FLAGGABLE, OBSERVATIONS, Observation
from chexpert.evaluation.bootstrap import Interval, bootstrap
from chexpert.evaluation.inputs import Floats, ShapeMismatch
from chexpert.evaluation.operating import clopper_pearson

__all__ = ["AGE_GROUPS", "UNKNOWN", "Groups", "SliceResult", "age_group", "groups", "masks", "measure"]

UNKNOWN: Final = "unknown"

AGE_GROUPS: Final = ((40, "0-39"), (60, "40-59"), (75, "60-74"), (200, "75+"))
"""Upper end in years (exclusive) and name; CheXpert writes 90 for everyone older, and 0 for unknown."""

Groups = Mapping[str, NDArray[np.str_]]
"""Group of each image (n,), by the name of the slicing."""


@dataclass(frozen=True, slots=True)
class SliceResult:
    """One group's figures."""

    slicing: str
    """Such as sex."""
    group: str
    """Such as Female."""
    images: int
    patients: int
    auroc: Interval
    """Mean over the observations with at least 5 positives and 5 negatives in this group."""
    sensitivity: Interval
    """At the frozen operating points, over all findings together; exact interval."""
    false_no_finding: Interval
    """Share of the images with a finding on which nothing is flagged (underdiagnosis); exact interval."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        intervals = {name: getattr(self, name).to_dict() for name in ("auroc", "sensitivity", "false_no_finding")}
        counts = {"images": self.images, "patients": self.patients}
        return {"slicing": self.slicing, "group": self.group, **counts, **intervals}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "SliceResult":
        """Inverse of `to_dict`."""
        intervals = {name: Interval.from_dict(fields[name]) for name in ("auroc", "sensitivity", "false_no_finding")}
        return cls(**{**fields, **intervals})


def age_group(age: float | None) -> str:
    """Group of an age in years; zero, negative and missing ages are unknown."""
    if age is None or not age > 0:
        return UNKNOWN
    return next((name for end, name in AGE_GROUPS if age < end), UNKNOWN)


def groups(columns: Mapping[str, ArrayLike], labels: Floats) -> dict[str, NDArray[np.str_]]:
    """Group names (n,) per slicing; the column `age` holds years, every other one names, empty or None for unknown.

    Unless given, `device` is added from the label Support Devices.
    """
    named: dict[str, NDArray[np.str_]] = {}
    for slicing, values in columns.items():
        column = np.asarray(values)
        if column.shape != labels.shape[:1]:
            raise ShapeMismatch(column.shape, labels.shape[:1], of=f"slice column {slicing}")
        naming = _age if slicing == "age" else _name
        named[slicing] = np.array([naming(value) for value in column.tolist()])
    if "device" not in named:
        device = labels[:, OBSERVATIONS.index(Observation.SUPPORT_DEVICES)]
        named["device"] = np.where(np.isnan(device), UNKNOWN, np.where(device == 1.0, "with device", "without device"))
    return named


def masks(named: Groups) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Slicing, group and rows (n,) of every group, in a fixed order; unknown comes last."""
    for slicing, column in named.items():
        for group in sorted(set(column.tolist()), key=lambda name: (name == UNKNOWN, name)):
            yield slicing, group, column == group


def measure(
    labels: Floats,
    scores: Floats,
    patients: NDArray[Any],
    named: Groups,
    thresholds: Mapping[Observation, float],
    *,
    rounds: int,
    seed: int,
) -> tuple[SliceResult, ...]:
    """Figures of every group; arrays (n, 14), patients (n,)."""
    columns = [OBSERVATIONS.index(o) for o in FLAGGABLE if o in thresholds]
    points = np.array([thresholds[OBSERVATIONS[c]] for c in columns])
    flagged, present = scores[:, columns] >= points, labels[:, columns] == 1.0
    abnormal = (labels[:, [OBSERVATIONS.index(o) for o in FLAGGABLE]] == 1.0).any(axis=1)
    abnormal &= bool(columns)  # Without any operating point there is no flag to miss.
    missed = abnormal & ~flagged.any(axis=1)

    def of(slicing: str, group: str, rows: NDArray[np.bool_]) -> SliceResult:
        found = flagged[rows] & present[rows]
        return SliceResult(
            slicing=slicing,
            group=group,
            images=int(rows.sum()),
            patients=len(np.unique(patients[rows])),
            auroc=bootstrap(labels[rows], scores[rows], patients[rows], rounds=rounds, seed=seed).mean,
            sensitivity=clopper_pearson(int(found.sum()), int(present[rows].sum())),
            false_no_finding=clopper_pearson(int(missed[rows].sum()), int(abnormal[rows].sum())),
        )

    return tuple(of(*each) for each in masks(named))


def _age(value: Any) -> str:
    try:
        return age_group(float(value))
    except (TypeError, ValueError):
        return UNKNOWN


def _name(value: Any) -> str:
    text = "" if value is None or value != value else str(value)  # noqa: PLR0124 - NaN is the value unequal to itself
    return text.strip() or UNKNOWN
