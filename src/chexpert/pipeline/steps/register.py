"""Register: enter the bundle in MLflow. What the gates refused never gets here, and is refused again if it does."""

import json

from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.step import StepContext
from chexpert.registry import models

__all__ = ["run"]


def run(context: StepContext) -> None:
    """Write the version with its bundle's address and digest."""
    bundle = json.loads(context.input("bundle").read_text())
    evaluation = json.loads(context.input("evaluation").read_text())
    verdicts = [Verdict.from_json(context.input(f"{gate}-verdict").read_text()) for gate in ("evaluate", "optimise")]
    for verdict in verdicts:
        verdict.require()
    version = models.register(
        context.places.need("tracking"),
        bundle_uri=bundle["uri"],
        digest=bundle["digest"],
        run_id=evaluation["model"]["run_id"],
        verdict=verdicts[-1],
        tags={
            "pipeline run": context.run,
            "network": evaluation["model"]["network"],
            "variant": bundle["variant"],
            "data version": evaluation["data_version"],
        },
    )
    context.progress(1, 1, f"{version}: {bundle['uri']}")
    facts = {"version": version, "uri": bundle["uri"], "digest": bundle["digest"]}
    context.output("version").write_text(json.dumps(facts, indent=2), encoding="utf-8")
