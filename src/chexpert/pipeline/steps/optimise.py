"""Optimise: export the chosen network's variants, judge them, and bundle the fastest that loses nothing."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chexpert.bundle import reference
from chexpert.bundle.card import MODEL, REFERENCE, Card, OperatingPoint
from chexpert.bundle.sessions import open_graph
from chexpert.bundle.store import write
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.domain.observations import Observation
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks import store
from chexpert.optimise.choice import VariantComparison, VariantRow
from chexpert.optimise.settings import VariantSettings
from chexpert.optimise.variants import Images, compare
from chexpert.pipeline.images import sample, statistics_of
from chexpert.pipeline.provenance import git_commit
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps.tables import page

__all__ = ["run"]

ROWS = 2000
"""Evaluation images the variants are compared on and the reference is made of."""


def run(context: StepContext) -> Verdict:
    """Write the bundle's address, the comparison and the verdict."""
    evaluation = json.loads(context.input("evaluation").read_text())
    manifest = Manifest.read(str(context.input("manifest")))
    shards = Shards.open(json.loads(context.input("shards").read_text())["uri"])
    rows = sample(manifest.rows("valid"), ROWS)
    pixel_rows = shards.find(manifest.column("sha256")[rows])
    module = store.load(evaluation["model"]["uri"])
    points = {Observation(name): OperatingPoint(**point) for name, point in evaluation["operating_points"].items()}
    spec = PreprocessSpec(size=shards.size)
    with tempfile.TemporaryDirectory() as folder:
        comparison = compare(
            module,
            Platt.from_dict(evaluation["calibration"]),
            spec,
            Images(
                pixels=lambda part: shards.take(pixel_rows[part]),
                labels=manifest.labels()[rows],
                patients=manifest.column("patient")[rows],
            ),
            thresholds={o: point.threshold for o, point in points.items()},
            folder=Path(folder),
            subject=evaluation["model"]["digest"],
            settings=VariantSettings(),
        )
        context.progress(1, 2, "; ".join(comparison.verdict.reasons))
        _report(context, comparison)
        context.publish(comparison.verdict)
        if comparison.chosen is not None:
            card = _card(evaluation, module.settings, points, comparison.chosen, spec)
            chosen = comparison.chosen.path.read_bytes()
            scores = open_graph(chosen, spec.size, where=comparison.chosen.name).run(shards.take(pixel_rows))
            files: Mapping[str, bytes] = {
                MODEL: chosen,
                REFERENCE: reference.encode(scores, statistics_of(manifest, rows)),
            }
            ref = write(context.places.object("bundles"), card, files)
            facts = {"uri": ref.uri, "digest": ref.digest, "variant": comparison.chosen.name}
            context.output("bundle").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    return comparison.verdict


def _card(
    evaluation: Mapping[str, Any],
    network: Any,
    points: Mapping[Observation, OperatingPoint],
    chosen: VariantRow,
    spec: PreprocessSpec,
) -> Card:
    return Card(
        preprocess=spec,
        operating_points=points,
        data_version=evaluation["data_version"],
        git_commit=git_commit(),
        metrics=evaluation["metrics"],
        variant=chosen.facts(),
        network={**asdict(network), "digest": evaluation["model"]["digest"]},
    )


def _report(context: StepContext, comparison: VariantComparison) -> None:
    html = page(
        f"Variants of {comparison.verdict.subject[:12]}",
        comparison.verdict,
        [_flat(row.evidence()) for row in comparison.rows],
        "Latency of one image and throughput are of this machine.",
    )
    context.output("variants").write_text(html, encoding="utf-8")
    context.publish_report("variants", html)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    change = row["auroc_change"]
    shown = {**row, "auroc_change": f"{change['estimate']} [{change['low']}, {change['high']}]"}
    return {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in shown.items()}
