"""A gate's answer, with reasons and evidence: the record every promotion stands on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from chexpert.domain.errors import RefusedError

__all__ = ["Verdict"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether `subject` passed `gate`, why, and on what evidence."""

    gate: str
    subject: str
    passed: bool
    reasons: tuple[str, ...]
    """Short sentences a person can act on; a refusal has at least one."""
    evidence: tuple[Row, ...] = ()
    """Rows of one table, JSON-like values."""
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    inputs_digest: str = ""
    """Digest of what was judged."""

    def __post_init__(self) -> None:
        if not self.passed and not self.reasons:
            msg = f"gate {self.gate} refused {self.subject} without a reason"
            raise ValueError(msg)

    @classmethod
    def judge(
        cls,
        gate: str,
        subject: str,
        failures: Sequence[str],
        *,
        otherwise: str,
        evidence: Sequence[Row] = (),
        thresholds: Mapping[str, Any] | None = None,
        inputs_digest: str = "",
    ) -> Self:
        """Refuse with `failures` if there are any, else pass with the sentence `otherwise`."""
        return cls(
            gate=gate,
            subject=subject,
            passed=not failures,
            reasons=tuple(failures) or (otherwise,),
            evidence=tuple(evidence),
            thresholds=dict(thresholds or {}),
            inputs_digest=inputs_digest,
        )

    def to_json(self) -> str:
        """Indented JSON, keys in the order of the fields."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`."""
        fields = json.loads(text)
        return cls(**{**fields, "reasons": tuple(fields["reasons"]), "evidence": tuple(fields["evidence"])})

    def require(self, verdict_uri: str = "") -> None:
        """Raise RefusedError unless passed."""
        if not self.passed:
            raise RefusedError(self.reasons, verdict_uri)
