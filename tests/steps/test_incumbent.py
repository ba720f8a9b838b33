import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chexpert.bundle.sessions import open_session
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.places import MissingPlace, Places
from chexpert.gitops.body import BodyParts
from chexpert.gitops.promotion_request import GitOpsSettings, connect, open_promotion
from chexpert.gitops.repository import seed
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.pipeline import incumbent
from chexpert.pipeline.images import pixels_of
from chexpert.testing import bundles

KSERVE = Path(__file__).parents[2] / "kserve"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Empty environments; bundles are cached in the test's own folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seed(tmp_path / "gitops.git", KSERVE)
    return Places(objects=str(tmp_path / "objects"), gitops=str(tmp_path / "gitops.git"))


def serve(places: Places, version: str, size: int) -> str:
    """Merge a bundle of that image size; its digest."""
    ref = bundles.tiny(places.object("bundles"), size=size)
    request = open_promotion("production", version, ref.uri, ref.digest, BodyParts(), places)
    with connect(places, GitOpsSettings()) as (_, requests):
        requests.merge(requests.get(request.identity))
    return ref.digest


def test_an_empty_environment_has_no_incumbent(places: Places) -> None:
    """Before the first promotion there is nobody to compare with; a file that is missing counts as that."""
    assert incumbent.find("production", places) is None
    assert incumbent.find("elsewhere", places) is None


def test_without_a_repository_nothing_is_guessed() -> None:
    """An address that is missing is not an empty environment: a gate would pass for want of a rival."""
    with pytest.raises(MissingPlace, match="CHEXPERT_GITOPS"):
        incumbent.find("production", Places())


@pytest.mark.parametrize("size", [32, 64], ids=["the shards' preprocessing", "its own preprocessing"])
def test_the_incumbent_scores_by_its_own_preprocessing(places: Places, ingested: Any, size: int) -> None:
    """Scores are those of its bundle on images of its own size, in the rows' order, whatever the shards' size is."""
    digest = serve(places, "v1", size)
    found = incumbent.find("production", places)
    assert found is not None
    assert (found.served.name, found.served.digest) == ("v1", digest)
    rows = ingested.manifest.rows("valid")[::-1]
    spec = PreprocessSpec(size=ingested.shards.size)
    scores = found.scores(ingested.manifest, rows, ingested.shards, spec)
    assert scores.shape == (len(rows), len(OBSERVATIONS))
    pixels = pixels_of(ingested.manifest, rows, PreprocessSpec(size=size))
    np.testing.assert_array_equal(scores, open_session(found.bundle).run(pixels))
    assert len(np.unique(scores[:, 0])) > 1


def test_batches_are_joined(places: Places, ingested: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More images than a batch get the same scores in the same order."""
    serve(places, "v1", 32)
    found = incumbent.find("production", places)
    assert found is not None
    rows = ingested.manifest.rows("train")
    whole = found.scores(ingested.manifest, rows, ingested.shards, PreprocessSpec(size=32))
    monkeypatch.setattr(incumbent, "BATCH", 4)
    parts = found.scores(ingested.manifest, rows, ingested.shards, PreprocessSpec(size=32))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
