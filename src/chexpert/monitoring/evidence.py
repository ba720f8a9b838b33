"""Rows of a stage's verdict: what was seen, in figures."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from chexpert.domain.records import Outcome
from chexpert.monitoring.answers import Answers
from chexpert.monitoring.drift import DriftReport
from chexpert.monitoring.replay import Replay
from chexpert.monitoring.window import Window

__all__ = ["answer_rows", "counts", "drift_rows", "replay_rows"]


def counts(window: Window) -> Mapping[str, Any]:
    """One version's requests, faults and latencies."""
    latencies = window.latencies_ms
    p50, p95 = (float(np.percentile(latencies, q)) for q in (50, 95)) if latencies.size else (None, None)
    invalid = sum(window.outcomes.get(outcome, 0) for outcome in (Outcome.NOT_A_NUMBER, Outcome.OUT_OF_RANGE))
    return {
        "what": f"answers of {window.version}",
        "requests": window.requests,
        "faults": window.faults,
        "of these not a number or out of range": invalid,
        "latency_ms_p50": p50,
        "latency_ms_p95": p95,
    }


def drift_rows(drift: DriftReport | None) -> list[Mapping[str, Any]]:
    """The drifted columns, and of each comparison the one with the least p."""
    rows = drift.rows if drift else ()
    least = {row.comparison: row for row in sorted(rows, key=lambda row: -row.p)}
    return [{"what": "drift, KS", **asdict(row)} for row in rows if row.drifted or row is least[row.comparison]]


def replay_rows(replay: Replay | None) -> list[Mapping[str, Any]]:
    """What both said of the same images."""
    return [{"what": "shadow replays", **asdict(replay)}] if replay else []


def answer_rows(answers: tuple[Answers, Answers] | None) -> list[Mapping[str, Any]]:
    """What readers said of each version's flags."""
    roles = zip(("canary", "stable"), answers or (), strict=False)
    return [{"what": f"readers on flags of the {role}", **asdict(said)} for role, said in roles]
