"""The worker against the house's own model server: first without a model, then with one."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chexpert.domain.studies import Tier
from chexpert.serving.client import V2Client
from chexpert.testing.bundles import tiny
from chexpert.triage import worklist
from chexpert.triage.intake import Order, Upload, accept
from chexpert.triage.settings import WorkerSettings
from chexpert.triage.site import Site
from chexpert.triage.tables import Marks, Study
from chexpert.triage.worker import Worker

START_S = 30.0
EMPTY = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: chexpert
  annotations:
    serving.kserve.io/deploymentMode: Standard
    serving.kserve.io/autoscalerClass: none
spec:
  predictor: {}
"""
STABLE = EMPTY.replace(
    "  predictor: {}\n",
    """\
  predictor:
    name: v1
    minReplicas: 1
    model:
      modelFormat:
        name: chexpert
      runtime: chexpert-0-1-0
      protocolVersion: v2
      storageUri: {uri}
      env:
      - name: CHEXPERT_VERSION
        value: v1
      - name: CHEXPERT_BUNDLE_DIGEST
        value: {digest}
""",
)


@pytest.fixture
def served(tmp_path: Path, site: Site) -> Iterator[tuple[str, Path]]:
    """URL of a server whose file names no model yet, and that file."""
    manifest, run_file = tmp_path / "inferenceservice.yaml", tmp_path / "serve.json"
    manifest.write_text(EMPTY)
    command = [sys.executable, "-c", "from chexpert.cli.serve import app; app()", f"--manifest={manifest}"]
    command += [f"--objects={site.settings.objects}", "--port=0", "--grpc-port=0", f"--run-file={run_file}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not run_file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{json.loads(run_file.read_text())['http']}", manifest
    finally:
        process.kill()
        process.wait()


def test_the_first_promotion_is_caught_up_with(
    site: Site,
    served: tuple[str, Path],
    png: Callable[..., bytes],
) -> None:
    """No model yet: listed, unflagged, nothing refused. Once promoted: scored, flagged, raised, with marks."""
    url, manifest = served
    studies = [accept(site, Order(), [Upload("a.png", png(seed, 200))]).study for seed in range(3)]
    worker = Worker(site.database, site.settings.objects, WorkerSettings(predictor=url))
    try:
        assert worker.turn() == 0
        bundle = tiny(f"{site.settings.objects}/bundles", operating_point=0.0)
        replaced = manifest.with_suffix(".new")
        replaced.write_text(STABLE.format(uri=bundle.uri, digest=bundle.digest))
        replaced.replace(manifest)
        with V2Client(url) as client:
            deadline = time.monotonic() + START_S
            while not (state := client.readiness()).ready:
                assert time.monotonic() < deadline, state.reason
                time.sleep(0.05)
        site.clock.forward(seconds=10)  # type: ignore[attr-defined]
        while worker.turn():
            pass
    finally:
        worker.close()
    with site.database.read() as session:
        rows = worklist.ranked(session, site.settings.rule, worklist.Query(site.clock(), 10))
        assert sorted(row.study.id for row in rows) == sorted(studies)
        for row in rows:
            study = session.get_one(Study, row.study.id)
            assert study.priority is not None
            assert (study.version, study.refusal, bool(study.flag)) == ("v1", "", True)
            assert Tier(study.raised_tier) < Tier.ROUTINE
        assert len(session.get_one(Marks, "v1").points) == 14
