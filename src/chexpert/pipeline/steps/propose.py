"""Propose: open the production pull request with everything a person needs to decide."""

import json
import os
from dataclasses import asdict

from chexpert.domain.verdicts import Verdict
from chexpert.gitops.body import BodyParts
from chexpert.gitops.promotion_request import GitOpsSettings, open_promotion
from chexpert.pipeline.step import StepContext

__all__ = ["run"]

ENVIRONMENT = "production"
GATES = ("evaluate", "optimise", "load-test")


def run(context: StepContext) -> None:
    """Write the pull request's address."""
    version = json.loads(context.input("version").read_text())
    evaluation = json.loads(context.input("evaluation").read_text())
    places = context.places
    verdicts = [Verdict.from_json(context.input(f"{gate}-verdict").read_text()) for gate in GATES]
    for verdict in verdicts:
        verdict.require()
    parts = BodyParts(
        metrics=[_row(label) for label in evaluation["table"]],
        verdicts=[
            (verdict, places.object("verdicts", context.run, f"{gate}.json"))
            for gate, verdict in zip(GATES, verdicts, strict=True)
        ],
        links={
            "Evaluation": evaluation["report_uri"],
            "Load test": places.object("reports", context.run, "load-test.html"),
        },
    )
    settings = GitOpsSettings.from_environment(places.need("gitops"), os.environ)
    name, uri, digest = version["version"], version["uri"], version["digest"]
    request = open_promotion(ENVIRONMENT, name, uri, digest, parts, places, settings=settings)
    context.progress(1, 1, f"{request.title}: {request.url}")
    context.output("pull-request").write_text(json.dumps(asdict(request), indent=2), encoding="utf-8")


def _row(label: dict[str, object]) -> dict[str, object]:
    auroc = label["auroc"]
    interval = auroc if isinstance(auroc, dict) else {}
    return {
        "observation": label["observation"],
        "positives": label["positives"],
        "AUROC": interval.get("estimate"),
        "low": interval.get("low"),
        "high": interval.get("high"),
        "threshold": label["threshold"],
    }
