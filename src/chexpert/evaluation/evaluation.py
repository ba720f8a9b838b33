"""Everything measured about one model on one set of images: what the gates judge and the report shows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chexpert.domain.digests import of_bytes
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.evaluation import calibration, slices
from chexpert.evaluation.auroc import counted
from chexpert.evaluation.bootstrap import Interval, bootstrap
from chexpert.evaluation.inputs import Floats, as_labels, as_patients, as_scores
from chexpert.evaluation.operating import Decisions, decisions
from chexpert.evaluation.slices import SliceResult

__all__ = ["Evaluation", "LabelResult", "Rows", "evaluate"]


@dataclass(frozen=True, slots=True)
class Rows:
    """The images behind an evaluation, for paired comparisons and plots; not part of its JSON."""

    labels: Floats
    """(n, 14) of 1, 0, NaN."""
    scores: Floats
    """(n, 14)."""
    patients: NDArray[Any]
    """(n,)."""
    groups: slices.Groups

    @property
    def digest(self) -> str:
        """Of labels and patients alone: equal for two models measured on the same images."""
        codes, _ = as_patients(self.patients, self.labels)
        return of_bytes(np.nan_to_num(self.labels, nan=-1.0).tobytes() + codes.tobytes())


@dataclass(frozen=True, slots=True)
class LabelResult:
    """One observation's figures."""

    observation: Observation
    positives: int
    negatives: int
    auroc: Interval
    """NaN where a class is missing."""
    brier: float
    expected_error: float
    """ECE over ten bins of equal size."""
    threshold: float | None
    """Operating point; None: never flagged."""
    decisions: Decisions | None
    """At the threshold."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, with the figures derived from the decisions."""
        decided = self.decisions
        figures = ("sensitivity", "specificity", "precision", "f1")
        return {
            "observation": str(self.observation),
            "positives": self.positives,
            "negatives": self.negatives,
            "auroc": self.auroc.to_dict(),
            "brier": _or_none(self.brier),
            "expected_error": _or_none(self.expected_error),
            "threshold": self.threshold,
            "decisions": decided
            and {**decided.to_dict(), **{name: _or_none(getattr(decided, name)) for name in figures}},
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        decided = fields["decisions"]
        counts = ("true_positives", "false_positives", "false_negatives", "true_negatives")
        return cls(
            observation=Observation(fields["observation"]),
            positives=fields["positives"],
            negatives=fields["negatives"],
            auroc=Interval.from_dict(fields["auroc"]),
            brier=_or_nan(fields["brier"]),
            expected_error=_or_nan(fields["expected_error"]),
            threshold=fields["threshold"],
            decisions=decided and Decisions(**{name: decided[name] for name in counts}),
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model's figures."""

    name: str
    """Whose: such as small-cnn, v3, shortcut baseline."""
    images: int
    patients: int
    mean: Interval
    """AUROC over the observations with at least 5 positives and 5 negatives."""
    competition: Interval
    """AUROC over the five competition tasks; NaN if one lacks a class."""
    labels: tuple[LabelResult, ...]
    """In the order of OBSERVATIONS."""
    slices: tuple[SliceResult, ...]
    rounds: int
    seed: int
    rows_digest: str
    rows: Rows | None = field(default=None, repr=False, compare=False)
    """None after `from_json`."""

    @property
    def counted(self) -> tuple[LabelResult, ...]:
        """Observations that enter the mean."""
        chosen = counted(
            np.array([label.positives for label in self.labels]),
            np.array([label.negatives for label in self.labels]),
        )
        return tuple(label for label, in_mean in zip(self.labels, chosen, strict=True) if in_mean)

    @property
    def expected_error(self) -> float:
        """Mean ECE over the counted observations; NaN if there are none."""
        return float(np.mean([label.expected_error for label in self.counted])) if self.counted else float("nan")

    def metrics(self) -> dict[str, float | None]:
        """Flat, for a card or a tracker: None where a class is missing."""
        means = {
            "auroc/mean": self.mean.estimate,
            "auroc/mean/low": self.mean.low,
            "auroc/mean/high": self.mean.high,
            "auroc/competition": self.competition.estimate,
            "calibration/expected error": self.expected_error,
        }
        per_label = {f"auroc/{label.observation}": label.auroc.estimate for label in self.labels}
        return {name: _or_none(value) for name, value in {**means, **per_label}.items()}

    def to_json(self) -> str:
        """Indented JSON without the rows; NaN as null."""
        value = {
            "name": self.name,
            "images": self.images,
            "patients": self.patients,
            "mean": self.mean.to_dict(),
            "competition": self.competition.to_dict(),
            "labels": [label.to_dict() for label in self.labels],
            "slices": [each.to_dict() for each in self.slices],
            "rounds": self.rounds,
            "seed": self.seed,
            "rows_digest": self.rows_digest,
        }
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`; the rows are gone, so gates refuse to compare it."""
        fields = json.loads(text)
        return cls(
            **{
                **fields,
                "mean": Interval.from_dict(fields["mean"]),
                "competition": Interval.from_dict(fields["competition"]),
                "labels": tuple(LabelResult.from_dict(each) for each in fields["labels"]),
                "slices": tuple(SliceResult.from_dict(each) for each in fields["slices"]),
            },
        )


def evaluate(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Any,
    *,
    name: str = "candidate",
    operating_points: Mapping[Observation, Any] | None = None,
    columns: Mapping[str, ArrayLike] | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure one model; labels (n, 14) as CheXpert writes them, calibrated scores (n, 14), patients (n,).

    Args:
        labels: 1, 0; anything else (blank, uncertain) is masked.
        scores: Probabilities as served.
        patients: Keys; images of one patient are resampled together.
        name: Whose scores these are.
        operating_points: Frozen on the calibration split: thresholds, or what has a `threshold`.
        columns: Slices: sex, age (years), projection, view or others, each (n,); `device` is derived from the labels.
        rounds: Bootstrap rounds.
        seed: Of the bootstrap.

    Raises:
        ShapeMismatch: rows or columns differ.
        UnusableScores: a score is not finite.
    """
    known = as_labels(labels)
    served = as_scores(scores, known)
    keys = np.asarray(patients)
    thresholds = {o: float(getattr(point, "threshold", point)) for o, point in (operating_points or {}).items()}
    drawn = bootstrap(known, served, keys, rounds=rounds, seed=seed)
    decided = decisions(known, served, thresholds)
    rows = Rows(known, served, keys, slices.groups(columns or {}, known))
    return Evaluation(
        name=name,
        images=len(known),
        patients=len(np.unique(keys)),
        mean=drawn.mean,
        competition=drawn.competition,
        labels=tuple(
            LabelResult(
                observation=observation,
                positives=int(drawn.aurocs.positives[c]),
                negatives=int(drawn.aurocs.negatives[c]),
                auroc=drawn.labels[c],
                brier=calibration.brier(known[:, c], served[:, c]),
                expected_error=calibration.expected_error(known[:, c], served[:, c]),
                threshold=thresholds.get(observation),
                decisions=decided.get(observation),
            )
            for c, observation in enumerate(OBSERVATIONS)
        ),
        slices=slices.measure(known, served, keys, rows.groups, thresholds, rounds=rounds, seed=seed),
        rounds=rounds,
        seed=seed,
        rows_digest=rows.digest,
        rows=rows,
    )


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
