"""Card: the facts that travel with a variant, as `card.json`. Its sha256 is the bundle's digest."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final, Self

from chexpert.bundle import compared, reading
from chexpert.bundle.compared import Compared
from chexpert.bundle.errors import BrokenBundle
from chexpert.domain.digests import of_bytes
from chexpert.domain.errors import InputError
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.imaging.preprocess import PreprocessSpec

__all__ = ["CARD", "MODEL", "REFERENCE", "Card", "OperatingPoint", "VariantFacts"]

CARD: Final = "card.json"
MODEL: Final = "model.onnx"
REFERENCE: Final = "reference.parquet"

_LABELS: Final = tuple(str(o) for o in OBSERVATIONS)
_HEX_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where one observation's calibrated score becomes a finding, and on what evidence."""

    threshold: float
    """Calibrated score in [0, 1] at or above which the observation is flagged."""
    target_sensitivity: float
    sensitivity: float
    """As measured on the calibration split."""
    lower_bound: float
    """Lower confidence bound of that sensitivity; what is held against the target."""
    positives: int
    """Positive images the threshold was chosen on."""
    pooled: bool
    """Whether too few positives made it fall back to a threshold pooled over observations."""


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """One exported form of a model, as measured before it was chosen."""

    name: str
    """Such as fp32, static-int8 or openvino-bf16."""
    precision: str
    """float32, bfloat16 or int8; OpenVINO computes in it, ONNX Runtime in what the graph says."""
    size_bytes: int
    latency_ms_p50: float
    """One image, on the machine of the export."""
    parity_max_abs: float | None
    """Largest score difference against torch; None where an answer was not finite."""
    runtime: str = "onnxruntime"
    """onnxruntime or openvino."""
    compared: Compared | None = None
    """Beside the model's other variants; None: it was not."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like; without `compared` where there is none, as in cards that were written before it was known."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "compared"}
        return plain if self.compared is None else {**plain, "compared": self.compared.to_dict()}


@dataclass(frozen=True, slots=True)
class Card:
    """What a bundle is and where it comes from."""

    preprocess: PreprocessSpec
    """How bytes become the pixels that the graph takes."""
    operating_points: Mapping[Observation, OperatingPoint]
    """Observations without one are never flagged."""
    data_version: str
    """Digest of the training manifest."""
    git_commit: str
    metrics: Mapping[str, float | None]
    """Of the evaluation; None where a class is missing."""
    variant: VariantFacts
    network: Mapping[str, Any]
    """Settings of the network and the digest of its weights, JSON-like."""
    labels: tuple[str, ...] = _LABELS
    """Order of the scores."""
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Sha256 of every other file by its name; filled in when the bundle is written."""

    @property
    def thresholds(self) -> dict[Observation, float]:
        """Thresholds alone, as `domain.predictions.flag` takes them."""
        return {observation: point.threshold for observation, point in self.operating_points.items()}

    @property
    def digest(self) -> str:
        """Sha256 of `to_json`, 64 hexadecimal digits."""
        return of_bytes(self.to_json().encode())

    def with_files(self, files: Mapping[str, str]) -> Self:
        """The same facts about other files, name to sha256."""
        return replace(self, files=dict(files))

    def to_json(self) -> str:
        """Indented JSON with sorted keys: equal cards give equal text, so equal digests. NaN is refused."""
        value = {
            "preprocess": {**self.preprocess.to_dict(), "digest": self.preprocess.digest},
            "operating_points": {str(o): asdict(point) for o, point in self.operating_points.items()},
            "data_version": self.data_version,
            "git_commit": self.git_commit,
            "metrics": dict(self.metrics),
            "variant": self.variant.to_dict(),
            "network": dict(self.network),
            "labels": list(self.labels),
            "files": dict(self.files),
        }
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = CARD) -> Self:
        """Inverse of `to_json`; `where` says in errors whose card it is.

        Raises:
            BrokenBundle: Naming the key that is missing, unknown or of a wrong kind.
        """
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise BrokenBundle(where, f"{CARD} is no JSON: {error}") from error
        reading.require_keys(where, "", value, {f.name for f in fields(cls)})
        labels = tuple(reading.typed(where, "labels", value["labels"], list))
        if labels != _LABELS:
            raise BrokenBundle(where, f"{CARD}: labels are {labels}, not the 14 observations in their order")
        return cls(
            preprocess=_preprocess(where, value["preprocess"]),
            operating_points=_operating_points(where, value["operating_points"]),
            data_version=reading.typed(where, "data_version", value["data_version"], str),
            git_commit=reading.typed(where, "git_commit", value["git_commit"], str),
            metrics=_metrics(where, value["metrics"]),
            variant=_variant(where, value["variant"]),
            network=reading.typed(where, "network", value["network"], dict),
            labels=labels,
            files=_files(where, value["files"]),
        )


def _preprocess(where: str, value: Any) -> PreprocessSpec:
    plain = dict(reading.typed(where, "preprocess", value, dict))
    digest = plain.pop("digest", None)
    try:
        spec = PreprocessSpec.from_dict(plain)
    except (InputError, TypeError) as error:
        raise BrokenBundle(where, f"{CARD}: preprocess is {plain}, which no PreprocessSpec takes: {error}") from error
    if spec.digest != digest:
        raise BrokenBundle(
            where, f"{CARD}: preprocess.digest is {digest}, this program's for the same is {spec.digest}"
        )
    return spec


def _variant(where: str, value: Any) -> VariantFacts:
    plain = dict(reading.typed(where, "variant", value, dict))
    beside = plain.pop("compared", None)
    facts = reading.record(where, "variant", VariantFacts, plain, without={"compared"})
    return facts if beside is None else replace(facts, compared=compared.from_plain(where, "variant.compared", beside))


def _operating_points(where: str, value: Any) -> dict[Observation, OperatingPoint]:
    points = reading.typed(where, "operating_points", value, dict)
    if unknown := sorted(points.keys() - set(_LABELS)):
        raise BrokenBundle(where, f"{CARD}: operating_points has unknown {', '.join(unknown)}")
    return {
        o: reading.record(where, f"operating_points.{o}", OperatingPoint, points[o])
        for o in OBSERVATIONS
        if o in points
    }


def _metrics(where: str, value: Any) -> dict[str, float | None]:
    metrics = reading.typed(where, "metrics", value, dict)
    return {
        name: None if metric is None else reading.typed(where, f"metrics.{name}", metric, float)
        for name, metric in metrics.items()
    }


def _files(where: str, value: Any) -> dict[str, str]:
    files = reading.typed(where, "files", value, dict)
    for name, digest in files.items():
        if "/" in name or "\\" in name or name in {"", ".", "..", CARD}:
            raise BrokenBundle(where, f"{CARD}: files has {name!r}, which is no plain file name")
        if len(reading.typed(where, f"files.{name}", digest, str)) != _HEX_DIGITS:
            raise BrokenBundle(where, f"{CARD}: files.{name} is {digest!r}, not a sha256")
    for name in (MODEL, REFERENCE):
        if name not in files:
            raise BrokenBundle(where, f"{CARD}: files lacks {name}")
    return files
