"""Evaluate: choose between the trained networks, measure the chosen one, and hold it against the gates."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation import baseline, calibration, gates, operating, profiles
from chexpert.evaluation.auroc import aurocs
from chexpert.evaluation.evaluation import Evaluation, evaluate
from chexpert.evaluation.inputs import blank_as_absent
from chexpert.evaluation.report import render
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks import store
from chexpert.pipeline import incumbent
from chexpert.pipeline.images import sample, statistics_of
from chexpert.pipeline.step import StepContext
from chexpert.registry.tracking import Tracker
from chexpert.training.predict import predict

__all__ = ["run"]

CANDIDATES = ("model-cnn", "model-vit")
BASELINE_ROWS = 2000
"""Training images that the shortcut baseline is fitted on: five weights per observation need no more."""


@dataclass(frozen=True, slots=True)
class _Images:
    """The evaluation's inputs, opened."""

    manifest: Manifest
    shards: Shards
    labels: NDArray[np.float32]

    def pixel_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.shards.find(self.manifest.column("sha256")[rows])


def run(context: StepContext) -> Verdict:
    """Write the evaluation, its report and the verdict; record them with the training run."""
    profile = profiles.get(context.parameter("profile"))
    context.progress(0, 4, str(profile))
    manifest = Manifest.read(str(context.input("manifest")))
    images = _Images(manifest, Shards.open(_read(context, "shards")["uri"]), manifest.labels())
    chosen, ranking = _choose(context, images)
    context.progress(1, 4, f"{chosen['network']} ranks first on the splits kept for choosing: {ranking}")
    valid = manifest.rows("valid")
    platt, points, scores = _calibrated(chosen, images, valid, profile.target_sensitivity)
    columns = {name: manifest.column(name)[valid] for name in ("sex", "age", "projection", "view")}
    patients = manifest.column("patient")[valid]

    def measured(name: str, values: NDArray[np.float32], **more: Any) -> Evaluation:
        return evaluate(images.labels[valid], values, patients, name=name, columns=columns, **more)

    candidate = measured(chosen["network"], scores, operating_points=points)
    context.progress(2, 4, f"{candidate.name}: mean AUROC {candidate.mean}")
    shortcut = measured("shortcut baseline", _baseline(images, valid))
    served = incumbent.find("production", context.places)
    spec = PreprocessSpec(size=images.shards.size)
    current = None
    if served is not None:
        current = measured(served.served.name, served.scores(manifest, valid, images.shards, spec))
    verdict = gates.judge(candidate, current, shortcut, profile)
    context.progress(3, 4, "; ".join(verdict.reasons))
    names = [str(path) for path in manifest.column("image_path")[valid]]
    html = render(candidate, baseline=shortcut, incumbent=current, verdict=verdict, names=names)
    context.output("report").write_text(html, encoding="utf-8")
    report_uri = context.publish_report("evaluation", html)
    facts = {
        "model": chosen,
        "ranking": ranking,
        "calibration": platt.to_dict(),
        "operating_points": {str(o): asdict(point) for o, point in points.items()},
        "metrics": candidate.metrics(),
        "baseline": shortcut.metrics()["auroc/mean"],
        "incumbent": current and {"name": current.name, "auroc/mean": current.metrics()["auroc/mean"]},
        "table": [label.to_dict() for label in candidate.labels],
        "mean": candidate.mean.to_dict(),
        "report_uri": report_uri,
        "data_version": manifest.digest,
    }
    context.output("evaluation").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    _record(context, chosen["run_id"], candidate, verdict, html)
    context.publish(verdict)
    return verdict


def _choose(context: StepContext, images: _Images) -> tuple[dict[str, Any], dict[str, float]]:
    """The network with the highest mean AUROC off the evaluation split: choosing there would flatter the winner."""
    rows = np.concatenate([images.manifest.rows("tune"), images.manifest.rows("calibration")])
    labels = blank_as_absent(images.labels[rows])
    models = [_read(context, name) for name in CANDIDATES if context.has_input(name)]
    ranking = {m["network"]: float(aurocs(labels, _logits(m, images, rows)).mean) for m in models}
    return max(models, key=lambda m: ranking[m["network"]]), ranking


def _calibrated(
    model: dict[str, Any],
    images: _Images,
    valid: NDArray[np.int64],
    target: float,
) -> tuple[calibration.Platt, dict[Any, Any], NDArray[np.float32]]:
    rows = images.manifest.rows("calibration")
    labels = blank_as_absent(images.labels[rows])
    logits = _logits(model, images, rows)
    platt = calibration.fit(labels, logits)
    points = operating.choose(labels, platt.apply(logits), target=target)
    return platt, points, platt.apply(_logits(model, images, valid))


def _logits(model: dict[str, Any], images: _Images, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return predict(store.load(model["uri"]), images.shards, images.pixel_rows(rows))


def _baseline(images: _Images, valid: NDArray[np.int64]) -> NDArray[np.float32]:
    rows = sample(images.manifest.rows("train"), BASELINE_ROWS)
    fitted = baseline.fit(statistics_of(images.manifest, rows), blank_as_absent(images.labels[rows]))
    return fitted.scores(statistics_of(images.manifest, valid))


def _record(context: StepContext, run_id: str, candidate: Evaluation, verdict: Verdict, html: str) -> None:
    tags = {"pipeline run": context.run, "training run": run_id, "verdict": "passed" if verdict.passed else "refused"}
    tracker = Tracker(context.places.need("tracking"))
    with tracker.run(experiment="evaluation", name=f"{context.run}/{candidate.name}", tags=tags) as run_:
        run_.metrics(candidate.metrics())
        run_.artifact(html, "evaluation.html")
        run_.artifact(verdict.to_json(), "verdict.json")


def _read(context: StepContext, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(context.input(name).read_text())
    return value
