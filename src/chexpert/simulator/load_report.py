"""What a load showed, and whether it is good enough to go on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from chexpert.domain.digests import of_value
from chexpert.domain.verdicts import Verdict

__all__ = ["LoadReport", "LoadThresholds", "RequestRow", "judge_load"]


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request of one image."""

    kind: str
    """Image kind: a device's name, or a corner case."""
    outcome: str
    """ok, nan, range, length, refused, fault, unavailable."""
    latency_ms: float
    """From sending to the whole answer, or to giving up."""
    version: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """All requests of one load."""

    rows: tuple[RequestRow, ...]
    wall_s: float
    concurrency: int

    @property
    def requests(self) -> int:
        """Requests begun; each has a row, so none is lost without a trace."""
        return len(self.rows)

    @property
    def outcomes(self) -> dict[str, int]:
        """Requests per outcome."""
        return dict(sorted(Counter(row.outcome for row in self.rows).items()))

    @property
    def versions(self) -> dict[str, int]:
        """Answered requests per version."""
        return dict(sorted(Counter(row.version for row in self.rows if row.version).items()))

    def quantile_ms(self, share: float) -> float:
        """Latency below which that share of the requests lies, failed ones included; NaN without a request."""
        latencies = [row.latency_ms for row in self.rows]
        return float(np.quantile(latencies, share)) if latencies else float("nan")

    def table(self) -> list[dict[str, Any]]:
        """One row per image kind and one for all: requests, not ok, p50, p95 and p99 in ms."""
        kinds = sorted({row.kind for row in self.rows})
        return [_summary("all", self.rows), *(_summary(k, [r for r in self.rows if r.kind == k]) for k in kinds)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, with the table and the first message of each outcome."""
        messages = {row.outcome: row.message for row in reversed(self.rows) if row.message}
        return {
            "requests": self.requests,
            "wall_s": round(self.wall_s, 3),
            "requests_per_s": round(self.requests / self.wall_s, 1) if self.wall_s > 0.0 else None,
            "concurrency": self.concurrency,
            "outcomes": self.outcomes,
            "versions": self.versions,
            "messages": dict(sorted(messages.items())),
            "table": self.table(),
        }


@dataclass(frozen=True, slots=True)
class LoadThresholds:
    """What a version must bear before it meets patients."""

    p95_ms: float = 1000.0
    """The clinic's need: one image under 1 s at concurrency 4. inf switches it off."""
    unavailable_share: float = 0.0
    """Share of requests that may end without an answer (no connection, time-out, 503)."""
    requests: int = 50
    """Fewer say nothing about a 95th percentile."""
    version: str = ""
    """Version that has to answer; empty: any one."""
    tolerated_refusals: frozenset[str] = field(default_factory=frozenset)
    """Image kinds that a server may refuse with 4xx; a standard image never."""


def judge_load(report: LoadReport, thresholds: LoadThresholds, *, subject: str) -> Verdict:
    """No lost request, no server fault, 14 finite scores in [0, 1] each time, and in time.

    Args:
        report: what the load showed.
        thresholds: what is asked.
        subject: what was loaded: a version name.
    """
    failures = [
        *_count_failures(report, thresholds),
        *_outcome_failures(report, thresholds),
        *_version_failures(report, thresholds),
    ]
    p95_ms = report.quantile_ms(0.95)
    if not p95_ms <= thresholds.p95_ms:
        failures.append(f"p95 latency {p95_ms:.0f} ms over {thresholds.p95_ms:g} ms")
    table = report.table()
    return Verdict.judge(
        "load-test",
        subject,
        failures,
        otherwise=f"{report.requests} requests answered, p95 {p95_ms:.0f} ms under {thresholds.p95_ms:g} ms",
        evidence=table,
        thresholds={**asdict(thresholds), "tolerated_refusals": sorted(thresholds.tolerated_refusals)},
        inputs_digest=of_value(report.to_dict()),
    )


def _count_failures(report: LoadReport, thresholds: LoadThresholds) -> list[str]:
    if report.requests < thresholds.requests:
        return [f"only {report.requests} requests, {thresholds.requests} are asked for"]
    return []


def _outcome_failures(report: LoadReport, thresholds: LoadThresholds) -> list[str]:
    counts: Mapping[str, int] = report.outcomes
    wording = {
        "nan": "answers hold a NaN or an infinity",
        "range": "answers hold a score outside of [0, 1]",
        "length": "answers do not hold 14 scores",
        "fault": "requests ended in a server fault",
    }
    failures = [_said(report, outcome, words) for outcome, words in wording.items() if counts.get(outcome)]
    refused = [r for r in report.rows if r.outcome == "refused" and r.kind not in thresholds.tolerated_refusals]
    if refused:
        kinds = ", ".join(sorted({row.kind for row in refused}))
        failures.append(f"{len(refused)} images refused ({kinds}), first: {refused[0].message}")
    if counts.get("unavailable", 0) > thresholds.unavailable_share * report.requests:
        failures.append(_said(report, "unavailable", "requests got no answer"))
    return failures


def _said(report: LoadReport, outcome: str, words: str) -> str:
    rows = [row for row in report.rows if row.outcome == outcome]
    kinds = ", ".join(sorted({row.kind for row in rows}))
    first = f", first: {rows[0].message}" if rows[0].message else ""
    return f"{len(rows)} of {report.requests} {words} ({kinds}){first}"


def _version_failures(report: LoadReport, thresholds: LoadThresholds) -> list[str]:
    versions = report.versions
    if thresholds.version and set(versions) - {thresholds.version}:
        others = ", ".join(f"{name} {count}" for name, count in versions.items() if name != thresholds.version)
        return [f"asked {thresholds.version}, answered also by {others}"]
    return []


def _summary(kind: str, rows: Sequence[RequestRow]) -> dict[str, Any]:
    latencies = [row.latency_ms for row in rows] or [0.0]
    p50, p95, p99 = (round(float(value), 2) for value in np.quantile(latencies, [0.5, 0.95, 0.99]))
    return {
        "kind": kind,
        "requests": len(rows),
        "not_ok": sum(row.outcome != "ok" for row in rows),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
    }
