"""Optimise: export the chosen network's variants, judge them, and bundle the fastest that loses nothing."""

import json
import tempfile
from pathlib import Path

from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.domain.verdicts import Verdict
from chexpert.optimise.page import page
from chexpert.optimise.settings import VariantSettings
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.variants import Evaluated, read_evaluation

__all__ = ["run"]


def run(context: StepContext) -> Verdict:
    """Write the bundle's address, the comparison and the verdict."""
    evaluated = Evaluated(
        read_evaluation(context.input("evaluation")),
        Manifest.read(str(context.input("manifest"))),
        Shards.open(json.loads(context.input("shards").read_text())["uri"]),
    )
    with tempfile.TemporaryDirectory() as folder:
        comparison = evaluated.compare(Path(folder), VariantSettings.of_profile(context.parameter("profile")))
        context.progress(1, 2, "; ".join(comparison.verdict.reasons))
        html = page(comparison)
        context.output("variants").write_text(html, encoding="utf-8")
        context.publish_report("variants", html)
        context.publish(comparison.verdict)
        if comparison.chosen is not None:
            ref = evaluated.bundle(comparison.chosen, context.places.object("bundles"))
            facts = {"uri": ref.uri, "digest": ref.digest, "variant": comparison.chosen.name}
            context.output("bundle").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    return comparison.verdict
