"""One installation of the platform for all tests here, and the table of what they saw."""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_harness.installing import KINDS, installed
from cluster_harness.kube import CommandFailed, Kube
from cluster_harness.settings import ClusterSettings
from cluster_harness.table import Facts
from cluster_harness.world import ROOT, Promoted, World

FACTS = Facts()
TABLE = ROOT / "var/cluster.md"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and keep it."""
    if FACTS.rows:
        terminalreporter.section("seen on the cluster")
        terminalreporter.write_line(FACTS.markdown())
        FACTS.save(TABLE)


@pytest.fixture(scope="session")
def facts() -> Facts:
    return FACTS


@pytest.fixture(scope="session")
def settings() -> ClusterSettings:
    return ClusterSettings.read(os.environ)


@pytest.fixture(scope="session")
def kube() -> Kube:
    if os.environ.get("CLUSTER_TESTS") != "1":
        pytest.skip("these install into a cluster: make test-cluster, with a KUBECONFIG")
    for program in ("kubectl", "helm"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on PATH")
    cluster = Kube()
    try:
        cluster.kubectl("get", "--raw", "/readyz", seconds=20)
    except CommandFailed as error:
        pytest.skip(f"no cluster answers at KUBECONFIG: {error}")
    return cluster


@pytest.fixture(scope="session")
def world(
    kube: Kube, settings: ClusterSettings, facts: Facts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with installed(kube, settings, tmp_path_factory.mktemp("cluster"), facts) as world:
        yield world


@pytest.fixture(scope="session")
def workflows(kube: Kube) -> None:
    if not kube.has(KINDS["argo"]):
        pytest.skip("this cluster has no Argo Workflows controller: not seen")


@pytest.fixture(scope="session")
def models(kube: Kube) -> None:
    if not kube.has(KINDS["kserve"]) or not kube.has(KINDS["argocd"]):
        pytest.skip("this cluster has no KServe, or no Argo CD that brings models to it: not seen")


@pytest.fixture(scope="session")
def phantoms(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom radiographs in CheXpert's layout, here and in the platform's objects under uploads/."""
    from chexpert.data.phantoms import PhantomSettings, generate

    folder = tmp_path_factory.mktemp("phantoms") / "CheXpert-phantoms"
    generate(folder, PhantomSettings(train_patients=700, valid_patients=200, noise=0.5), workers=2)
    ran = world.chexpert("data", "upload", str(folder), "s3://chexpert/uploads", seconds=110)
    assert ran.code == 0, ran.output
    world.images = [path.read_bytes() for path in sorted((folder / "valid").rglob("*.jpg"))[:60]]
    return folder


@pytest.fixture(scope="session")
def first(world: World, workflows: None, models: None, phantoms: Path, facts: Facts) -> Promoted:  # noqa: ARG001 - what must be there before
    """v1: from images to the stable of production."""
    stable = world.production.committed().stable if world.settings.reuse else None
    if stable is not None:
        return Promoted(stable.name, stable.storage_uri, stable.digest)
    promoted = world.continuous_x(facts, seed=0)
    world.advance_until(lambda: world.production.stable() == promoted.version, [])
    seconds = world.until_routed({promoted.version: 100}, [])
    facts.saw(
        5, f"{promoted.version}, the first promotion", f"merged, synced and answering {seconds:.0f} s after the commit"
    )
    return promoted


@pytest.fixture(scope="session")
def second(world: World, first: Promoted, facts: Facts) -> Promoted:
    """v2: trained anew, its pull request for production open."""
    if world.settings.reuse:
        return world.proposed() or first
    return world.continuous_x(facts, seed=1)


@pytest.fixture(scope="session")
def broken(world: World, second: Promoted) -> Promoted:
    """v91, at 10 % in git: its bundle is nowhere, so that it never becomes ready."""
    nowhere = "0" * 64
    version = Promoted("v91", second.uri.replace(second.digest, nowhere), nowhere)
    world.propose(version)
    world.advance_until(lambda: version.version in world.production.committed().weights, [])
    return version


@pytest.fixture
def upload() -> bytes:
    """A PNG that no other test uploads."""
    from PIL import Image

    stream = io.BytesIO()
    Image.effect_noise((256, 256), 60).save(stream, "PNG")
    return stream.getvalue()
