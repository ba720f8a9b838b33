"""Report: what became of a run, as the object runs/<workflow>.json: its end, what failed, and what the gates said."""

import json
from collections.abc import Sequence
from typing import Any

from chexpert.data import objects
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.step import StepContext

__all__ = ["run"]


def run(context: StepContext) -> None:
    """Write the outcome as object and artifact, and print it; it judges nothing."""
    verdicts = _verdicts(context)
    refusals = [verdict for verdict in verdicts if not verdict["passed"]]
    failures = _failures(context.parameter("failures"))
    status = "refused" if refusals else context.parameter("status").lower()
    outcome = {"workflow": context.run, "status": status, "failures": failures, "verdicts": verdicts}
    text = json.dumps(outcome, indent=2, ensure_ascii=False)
    objects.write_bytes(context.places.object("runs", f"{context.run}.json"), text.encode())
    context.output("outcome").write_text(text, encoding="utf-8")
    context.progress(0, 0, f"{context.run}: {status}")
    for line in _lines(refusals, failures):
        context.progress(0, 0, line)


def _lines(refusals: Sequence[dict[str, Any]], failures: Sequence[dict[str, str]]) -> list[str]:
    refused = [f"{row['step']} refused: {'; '.join(row['reasons'])} ({row['uri']})" for row in refusals]
    return refused + [f"{row['step']}: {row['message']}" for row in failures]


def _verdicts(context: StepContext) -> list[dict[str, Any]]:
    """One row for each gate that judged in this run."""
    rows = []
    for uri in objects.find(context.places.object("verdicts", context.run), ".json"):
        verdict = Verdict.from_json(objects.read_bytes(uri).decode())
        step = uri.rpartition("/")[2].removesuffix(".json")
        where = context.places.object("verdicts", context.run, f"{step}.json")
        rows.append(
            {"step": step, "gate": verdict.gate, "passed": verdict.passed, "reasons": verdict.reasons, "uri": where}
        )
    return rows


def _failures(text: str) -> list[dict[str, str]]:
    """Steps that failed, from Argo's {{workflow.failures}}: a JSON list, or null, inside one more JSON string."""
    try:
        found = json.loads(text)
        nodes = json.loads(found) if isinstance(found, str) else found
        return [
            {"step": node["displayName"], "message": node["message"], "finished": node["finishedAt"]}
            for node in nodes or ()
        ]
    except (ValueError, TypeError, KeyError):
        # The run's outcome is worth more than the form of one of its fields.
        return [{"step": "", "message": text, "finished": ""}]
