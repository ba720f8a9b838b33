"""Register, stage, propose, advance: from a judged bundle to an alias, on real MLflow and real git."""

import json
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chexpert.domain.errors import InputError, RefusedError
from chexpert.domain.places import MissingPlace, Places
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.gitops.promotion_request import GitOpsSettings, connect
from chexpert.gitops.repository import seed
from chexpert.local.home import free_port
from chexpert.local.processes import Process
from chexpert.local.worktree import ServedWorktree
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps import advance, propose, register, stage
from chexpert.registry import models
from chexpert.serving.isvc import parse
from chexpert.testing import bundles
from chexpert.testing.rollouts import RolloutSite

Contexts = Callable[..., StepContext]

KSERVE = Path(__file__).parents[2] / "kserve"
TABLE = [
    {
        "observation": "Edema",
        "positives": 31,
        "auroc": {"estimate": 0.8125, "low": 0.75, "high": 0.875},
        "threshold": 0.25,
    },
    {"observation": "Fracture", "positives": 0, "auroc": None, "threshold": None},
]
EVALUATION = {
    "model": {"uri": "models/x", "digest": "c" * 64, "network": "small-cnn", "run_id": ""},
    "table": TABLE,
    "report_uri": "objects/reports/r/evaluation.html",
    "data_version": "d" * 64,
}


def verdict_of(gate: str, *, passed: bool = True) -> Verdict:
    reasons = (f"{gate} saw nothing wrong" if passed else f"{gate} saw 0.51 under 0.65",)
    return Verdict(gate, "small-cnn", passed=passed, reasons=reasons, inputs_digest="5e")


@pytest.fixture(autouse=True)
def _no_github(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pull requests are branches here, whoever runs the tests."""
    monkeypatch.delenv("CHEXPERT_GITHUB_TOKEN", raising=False)


@pytest.fixture
def places(tmp_path: Path, tracking: str) -> Places:
    """Empty environments as the checkout seeds them; nobody serves."""
    seed(tmp_path / "gitops.git", KSERVE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    return Places(
        objects=str(tmp_path / "objects"),
        tracking=tracking,
        gitops=str(tmp_path / "gitops.git"),
        staging=nobody,
        production=nobody,
    )


@dataclass(frozen=True)
class Release:
    """A bundle registered by the step, and a way to run further steps on it."""

    context: Contexts
    places: Places
    seed: int

    def bundle(self) -> dict[str, str]:
        """What `optimise` writes."""
        ref = bundles.tiny(self.places.object("bundles"), seed=self.seed)
        return {"uri": ref.uri, "digest": ref.digest, "variant": "fp32"}

    def registering(self, **verdicts: Verdict) -> StepContext:
        """The context of the step register."""
        given = {"bundle": self.bundle(), "evaluation": EVALUATION}
        for gate in ("evaluate", "optimise"):
            given[f"{gate}-verdict"] = verdicts.get(gate, verdict_of(gate))
        return self.context("register", places=self.places, inputs=given)

    def register(self) -> dict[str, str]:
        """Run it and give what it wrote."""
        context = self.registering()
        register.run(context)
        written: dict[str, str] = json.loads((context.outputs / "version").read_text())
        return written

    def staging(self, places: Places | None = None) -> StepContext:
        """The context of the step stage."""
        given = {"version": self.register(), "bundle": self.bundle()}
        return self.context("stage", places=places or self.places, inputs=given)

    def proposing(self, **verdicts: Verdict) -> StepContext:
        """The context of the step propose."""
        given = {"version": self.register(), "bundle": self.bundle(), "evaluation": EVALUATION}
        for gate in ("evaluate", "optimise", "load-test"):
            given[f"{gate}-verdict"] = verdicts.get(gate.replace("-", "_"), verdict_of(gate))
        return self.context("propose", places=self.places, inputs=given)


@pytest.fixture
def release(context: Contexts, places: Places, request: pytest.FixtureRequest) -> Release:
    """Another bundle for each test: all of them share one registry."""
    return Release(context, places, seed=int.from_bytes(request.node.name.encode()) % 2**32)


def served(places: Places, environment: str) -> Any:
    settings = GitOpsSettings()
    with connect(places, settings) as (repository, _):
        return parse(repository.read(settings.file(environment)) or "", where=environment)


def test_a_judged_bundle_is_registered_with_its_facts(release: Release) -> None:
    """The version carries the bundle's address and digest, and where it came from."""
    written = release.register()
    found = models.resolve(release.places.tracking, written["version"])
    assert (found.bundle_uri, found.digest) == (written["uri"], written["digest"])
    assert found.digest == release.bundle()["digest"]
    assert found.tags["network"] == "small-cnn"
    assert found.tags["variant"] == "fp32"
    assert found.tags["data version"] == "d" * 64
    assert found.tags["verdict gate"] == "optimise"


def test_registering_again_gives_the_same_version(release: Release) -> None:
    """A step that was killed after its work and runs again enters nothing twice."""
    first = release.register()
    before = models.versions(release.places.tracking)
    assert release.register() == first
    assert models.versions(release.places.tracking) == before


@pytest.mark.parametrize("gate", ["evaluate", "optimise"])
def test_a_refused_bundle_is_not_registered(release: Release, gate: str) -> None:
    """Either gate's refusal is enough, whatever the other one says."""
    context = release.registering(**{gate: verdict_of(gate, passed=False)})
    before = models.versions(release.places.tracking)
    with pytest.raises(RefusedError, match=rf"{gate} saw 0\.51 under 0\.65"):
        register.run(context)
    assert models.versions(release.places.tracking) == before
    assert not (context.outputs / "version").exists()


def test_staging_that_does_not_serve_is_told_in_time(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the merge nobody answers: an error to try again, naming address and version, and no alias moves."""
    monkeypatch.setattr(stage.StageSettings, "of", lambda _: stage.StageSettings(wait_s=0.3))
    context = release.staging()
    version = json.loads(context.input("version").read_text())["version"]
    began = time.monotonic()
    with pytest.raises(stage.StagingDidNotServe, match=rf"does not serve {version} 0\.3 s after the merge") as caught:
        stage.run(context)
    assert time.monotonic() - began < 10
    assert caught.value.url == release.places.staging
    assert served(release.places, "staging").stable.name == version
    assert "staging" not in models.resolve(release.places.tracking, version).aliases
    assert not (context.outputs / "staged").exists()
    merged = served(release.places, "staging")
    with pytest.raises(stage.StagingDidNotServe):  # the next try finds it merged, and only waits
        stage.run(context)
    assert served(release.places, "staging") == merged


def test_staging_needs_an_address(release: Release) -> None:
    """Which variable is missing is said."""
    with pytest.raises(MissingPlace, match="CHEXPERT_STAGING"):
        stage.run(release.staging(replace(release.places, staging="")))


@pytest.mark.timeout(60)  # a real model server starts
def test_a_staged_version_is_served_and_gets_the_alias(release: Release, tmp_path: Path) -> None:
    """The step returns when staging's server answers by the version; run again, it finds that and merges nothing."""
    port = free_port(0)
    worktree = ServedWorktree(Path(release.places.gitops), tmp_path / "served", every_s=0.1)
    command = [sys.executable, "-m", "chexpert", "serve", f"--port={port}", "--grpc-port=0"]
    command += [f"--manifest={tmp_path / 'served/kserve/staging/inferenceservice.yaml'}"]
    command += [f"--objects={release.places.objects}", f"--run-file={tmp_path / 'staging.json'}"]
    places = replace(release.places, staging=f"http://127.0.0.1:{port}")
    server = Process("staging", command, {}, tmp_path / "staging.log")
    worktree.start()
    server.start()
    try:
        server.wait_answering(f"{places.staging}/v2/health/live", timeout_s=40)
        context = release.staging(places)
        stage.run(context)
        staged = json.loads((context.outputs / "staged").read_text())
        again = release.staging(places)
        stage.run(again)
    finally:
        server.stop()
        worktree.stop()
    version = json.loads(context.input("version").read_text())["version"]
    assert (staged["url"], staged["version"]) == (places.staging, version)
    with connect(places, GitOpsSettings()) as (repository, _):
        assert repository.tip() == staged["commit"]
    assert json.loads((again.outputs / "staged").read_text()) == {**staged, "commit": ""}
    assert models.resolve(places.tracking, "staging").version == version


def test_a_proposal_carries_what_a_person_needs(release: Release) -> None:
    """The pull request names version, bundle and digest, each gate's verdict and record, metrics and reports."""
    context = release.proposing()
    propose.run(context)
    version = json.loads(context.input("version").read_text())
    written = json.loads((context.outputs / "pull-request").read_text())
    with connect(release.places, GitOpsSettings()) as (_, requests):
        (request,) = requests.open_ones("production")
    assert written["identity"] == request.identity
    assert request.title == f"Serve {version['version']} in production"
    assert version["uri"] in request.body
    assert f"sha256:{version['digest']}" in request.body
    for gate in ("evaluate", "optimise", "load-test"):
        record = release.places.object("verdicts", context.run, f"{gate}.json")
        assert f"- {gate}: passed, {gate} saw nothing wrong ([record]({record}))" in request.body
    rows = [line for line in request.body.splitlines() if line.startswith(("| Edema", "| Fracture"))]
    assert rows == ["| Edema | 31 | 0.8125 | 0.75 | 0.875 | 0.25 |", "| Fracture | 0 | n/a | n/a | n/a | n/a |"]
    assert EVALUATION["report_uri"] in request.body
    assert release.places.object("reports", context.run, "load-test.html") in request.body
    assert served(release.places, "production").stable is None


def test_proposing_again_gives_the_same_pull_request(release: Release) -> None:
    """A step that runs again does not ask twice."""
    first, second = release.proposing(), release.proposing()
    propose.run(first)
    propose.run(second)
    identities = {json.loads((c.outputs / "pull-request").read_text())["identity"] for c in (first, second)}
    assert len(identities) == 1
    with connect(release.places, GitOpsSettings()) as (_, requests):
        assert len(requests.open_ones()) == 1


@pytest.mark.parametrize("gate", ["evaluate", "optimise", "load_test"])
def test_a_refused_version_is_not_proposed(release: Release, gate: str) -> None:
    """No pull request stands on a refusal."""
    context = release.proposing(**{gate: verdict_of(gate, passed=False)})
    with pytest.raises(RefusedError, match=rf"{gate} saw 0\.51"):
        propose.run(context)
    with connect(release.places, GitOpsSettings()) as (_, requests):
        assert list(requests.open_ones()) == []


def test_the_alias_follows_git(context: Contexts, tmp_path: Path, tracking: str) -> None:
    """Proposing moves no alias; the merged first version gets it; a call with nothing to do writes no event."""
    site = RolloutSite.create(tmp_path / "site")
    places = replace(site.places, tracking=tracking)
    version = models.register(
        tracking, bundle_uri=site.bundle.uri, digest=site.bundle.digest, run_id="", verdict=verdict_of("optimise")
    )
    site.propose(version)

    def step() -> TimelineEvent | None:
        parameters = {"environment": "production", "merge": "auto", "profile": "demo"}
        made = context("advance", places=places, parameters=parameters)
        advance.run(made)
        path = made.outputs / "event"
        return TimelineEvent.from_json(path.read_text()) if path.exists() else None

    proposed = step()
    assert proposed is not None
    assert proposed.stage is Stage.PROPOSED
    assert "production" not in models.resolve(tracking, version).aliases
    first = step()
    assert first is not None
    assert (first.stage, first.stable, dict(first.weights)) == (Stage.FIRST, version, {version: 100})
    assert models.resolve(tracking, "production").version == version
    assert step() is None


def test_a_person_merges_unless_told_otherwise(context: Contexts, tmp_path: Path, tracking: str) -> None:
    """By default a proposal waits: the second call does nothing."""
    site = RolloutSite.create(tmp_path / "site")
    site.propose("v1")
    for expected in (True, False):
        made = context(
            "advance",
            places=replace(site.places, tracking=tracking),
            parameters={"environment": "production", "profile": "demo"},
        )
        advance.run(made)
        assert (made.outputs / "event").exists() is expected
    assert site.served().stable is None


@pytest.mark.parametrize("slip", [{"merge": "always"}, {"profile": "quick"}, {"baseline": "none"}])
def test_an_unknown_word_is_the_callers_fault(context: Contexts, places: Places, slip: dict[str, str]) -> None:
    """A slip in a workflow's parameter is named with the words there are, and nothing is done."""
    made = context("advance", places=places, parameters={"environment": "production", **slip})
    with pytest.raises(InputError, match=rf"'{next(iter(slip.values()))}' is not known: expected .* or "):
        advance.run(made)
