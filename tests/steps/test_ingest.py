import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.data.splits import SPLITS
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.step import MissingParameter, StepContext
from chexpert.pipeline.steps import ingest

Contexts = Callable[..., StepContext]


def written(context: StepContext, name: str) -> Any:
    return json.loads((context.outputs / name).read_text())


@pytest.fixture
def run(context: Contexts) -> Callable[..., tuple[StepContext, Verdict]]:
    """Ingests a folder at 32 pixels; all runs of a test share their objects."""

    def ingest_it(source: Path, **parameters: str) -> tuple[StepContext, Verdict]:
        made = context("ingest", parameters={"source": str(source), "size": "32", **parameters})
        return made, ingest.run(made)

    return ingest_it


def test_images_and_labels_become_manifest_and_shards(ingested: Any, phantoms: Path) -> None:
    """Every image has a row and its pixels, every split has images, and the verdict counts them."""
    images = len(list(phantoms.rglob("*.jpg")))
    assert len(ingested.manifest) == images
    assert ingested.shards.contains(ingested.manifest.column("sha256")).all()
    assert ingested.shards.size == 32
    assert ingested.verdict.passed
    assert ingested.verdict.reasons == (f"{images} images, 0 files refused",)
    assert ingested.verdict.inputs_digest == ingested.manifest.digest
    counts = {row["split"]: row["images"] for row in ingested.verdict.evidence}
    assert counts.keys() == {"train", "tune", "calibration", "valid"}
    assert min(counts.values()) > 0
    assert sum(counts.values()) == images


def test_what_is_written_is_found_again(run: Any, phantoms: Path) -> None:
    """Outputs, objects and the published verdict are of the same data; no feedback yet is no increment."""
    context, verdict = run(phantoms)
    manifest = Manifest.read(str(context.outputs / "manifest"))
    shards = Shards.open(written(context, "shards")["uri"])
    assert written(context, "shards")["digest"] == shards.digest
    beside = Path(shards.uri).parent / "manifest.parquet"
    assert Manifest.read(str(beside)).digest == manifest.digest
    assert beside.is_relative_to(context.places.objects)
    assert written(context, "increment") == {"new_labels": 0, "rows": 0, "counts": {}, "refused": []}
    assert Verdict.from_json((context.outputs / "verdict").read_text()) == verdict
    recorded = Path(context.places.object("verdicts", context.run, "ingest.json"))
    assert Verdict.from_json(recorded.read_text()) == verdict


def test_the_same_data_gives_the_same_digests(run: Any, phantoms: Path) -> None:
    """A second ingest of what is known writes nothing anew."""
    first, _ = run(phantoms)
    uri = written(first, "shards")["uri"]
    before = {path: path.stat().st_mtime_ns for path in Path(uri).iterdir() if path.suffix == ".npy"}
    second, _ = run(phantoms)
    assert before
    assert written(second, "shards") == written(first, "shards")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_pixels_of_the_last_ingest_are_copied(run: Any, phantoms: Path) -> None:
    """Known images come from the last shards and new ones from their files: seen by a mark left in the old pixels."""
    first, _ = run(phantoms, limit="5")
    (array,) = Path(written(first, "shards")["uri"]).glob("*.npy")
    marked = np.load(array, mmap_mode="r+")
    marked[:] = 7
    marked.flush()
    second, _ = run(phantoms)
    manifest, shards = Manifest.read(str(second.outputs / "manifest")), Shards.open(written(second, "shards")["uri"])
    pixels = shards.take(shards.find(manifest.column("sha256")))
    known = Manifest.read(str(first.outputs / "manifest")).column("sha256")
    assert [bool((image == 7).all()) for image in pixels] == [sha in set(known) for sha in manifest.column("sha256")]
    assert 0 < len(known) < len(manifest)


def test_a_limit_cuts_the_training_rows_alone(run: Any, phantoms: Path) -> None:
    """What a model is measured on stays whole, however few images it trains on."""
    whole, few = run(phantoms)[0], run(phantoms, limit="5")[0]
    manifests = [Manifest.read(str(each.outputs / "manifest")) for each in (whole, few)]
    assert len(manifests[1].rows("train")) == 5
    assert all(len(manifests[0].rows(split)) == len(manifests[1].rows(split)) for split in SPLITS if split != "train")


def test_a_hint_that_leads_nowhere_is_passed_over(run: Any, phantoms: Path, ingested: Any) -> None:
    """Shards that are gone cost time, not the run: the same pixels are made from the files."""
    first, _ = run(phantoms, limit="5")
    shutil.rmtree(Path(written(first, "shards")["uri"]).parent)
    second, verdict = run(phantoms)
    assert verdict.passed
    assert written(second, "shards")["digest"] == ingested.shards.digest


def test_another_size_is_other_data(run: Any, phantoms: Path) -> None:
    """Shards of another preprocessing lie elsewhere and share no pixels."""
    small, _ = run(phantoms)
    large, _ = run(phantoms, size="48")
    assert written(small, "shards")["uri"] != written(large, "shards")["uri"]
    assert Shards.open(written(large, "shards")["uri"]).size == 48


@pytest.fixture
def damaged(phantoms: Path, tmp_path: Path) -> Callable[[int], Path]:
    """A copy of the phantoms in which so many training images end after 40 bytes."""

    def make(count: int) -> Path:
        copy = tmp_path / "damaged"
        shutil.copytree(phantoms, copy)
        for path in sorted((copy / "train").rglob("*.jpg"))[:count]:
            # Another text each: the same bytes would be one image, found again.
            path.write_bytes(path.read_bytes()[:40] + str(path).encode())
        return copy

    return make


def test_one_unreadable_file_is_left_out_and_named(
    run: Any, damaged: Callable[[int], Path], ingested: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single broken file is refused with its name, and the rest goes on."""
    folder = damaged(1)
    broken = min((folder / "train").rglob("*.jpg"))
    context, verdict = run(folder)
    assert verdict.passed
    assert verdict.reasons == (f"{len(ingested.manifest) - 1} images, 1 files refused",)
    assert str(broken) not in Manifest.read(str(context.outputs / "manifest")).column("image_path")
    assert str(broken) in capsys.readouterr().out


def test_too_many_unreadable_files_are_a_refused_delivery(
    run: Any, damaged: Callable[[int], Path], ingested: Any
) -> None:
    """Over 5 % something is wrong with the delivery: the verdict refuses, counts, and is published."""
    context, verdict = run(damaged(3))
    assert not verdict.passed
    assert verdict.reasons == (f"3 of {len(ingested.manifest)} files are unreadable, over 5%",)
    assert Verdict.from_json((context.outputs / "verdict").read_text()) == verdict


def test_a_missing_split_is_refused(run: Any, phantoms: Path, tmp_path: Path) -> None:
    """Data without images to judge on are no data to train on."""
    copy = tmp_path / "unjudged"
    shutil.copytree(phantoms, copy)
    (copy / "valid.csv").unlink()
    _, verdict = run(copy)
    assert not verdict.passed
    assert verdict.reasons == ("no image in the valid split",)


def test_a_folder_without_tables_is_an_error_that_names_it(run: Any, tmp_path: Path) -> None:
    """A wrong path is no refused delivery."""
    with pytest.raises(UnreadableData, match=r"neither train\.csv nor valid\.csv"):
        run(tmp_path)


def test_a_source_has_to_be_given(context: Contexts) -> None:
    """There is no default for what one trains on."""
    with pytest.raises(MissingParameter, match="ingest needs the parameter source"):
        context("ingest", parameters={"size": "32"})
