"""Load test: real images and corner cases on staging, many at once, before anybody depends on the version."""

import json

from chexpert.data import objects
from chexpert.data.manifest import Manifest
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.images import sample
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps.tables import page
from chexpert.simulator.load import LoadImage, LoadSettings, run_load, standard_mix
from chexpert.simulator.load_report import LoadThresholds, judge_load

__all__ = ["run"]

STUDIES = 24
"""Images of the evaluation split that join the standard mix."""
REQUESTS = 300


def run(context: StepContext) -> Verdict:
    """Send the load, write its measurements and a report, and judge."""
    staged = json.loads(context.input("staged").read_text())
    manifest = Manifest.read(str(context.input("manifest")))
    paths = manifest.column("image_path")[sample(manifest.rows("valid"), STUDIES)]
    images = [LoadImage("evaluation split", objects.read_bytes(path)) for path in paths] + standard_mix()
    report = run_load(staged["url"], images, LoadSettings(requests=REQUESTS))
    verdict = judge_load(report, LoadThresholds(version=staged["version"]), subject=staged["version"])
    context.output("measurements").write_text(json.dumps(report.to_dict(), indent=2), encoding="utf-8")
    note = f"{report.requests} requests at concurrency {report.concurrency} in {report.wall_s:.1f} s, on this machine."
    html = page(f"Load test of {staged['version']}", verdict, report.table(), note)
    context.output("report").write_text(html, encoding="utf-8")
    context.publish_report("load-test", html)
    context.publish(verdict)
    context.progress(1, 1, "; ".join(verdict.reasons))
    return verdict
