"""etl.yaml on this machine: what many tasks make of a delivery is what ingest makes of it in one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.data.shards import Shards
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.runner.preloaded import Preloaded
from chexpert.pipeline.runner.results import RunResult, RunStatus
from chexpert.pipeline.runner.running import run
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps import ingest
from chexpert.pipeline.workflow.reading import read

ETL = Path(__file__).parents[2] / "argo" / "workflows" / "etl.yaml"

Contexts = Callable[..., StepContext]


@pytest.fixture
def etl(tmp_path: Path) -> Callable[..., RunResult]:
    """Runs the workflow at 32 pixels; a second call goes on in the same folder."""

    def start(source: Path, objects: str = "fanned", **parameters: str) -> RunResult:
        given = {"source": str(source), "size": "32", **parameters}
        with Preloaded() as preloaded:
            return run(read(ETL), given, Places(objects=str(tmp_path / objects)), tmp_path / "run", preloaded=preloaded)

    return start


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_fan_out_gives_what_ingest_gives(etl: Callable[..., RunResult], context: Contexts, phantoms: Path) -> None:
    """Under data/ every object is the same, byte for byte, and so is the verdict."""
    result = etl(phantoms)
    assert result.status is RunStatus.SUCCEEDED, result.culprits
    alone = context("ingest", parameters={"source": str(phantoms), "size": "32"})
    verdict = ingest.run(alone)
    fanned = contents(result.folder.parent / "fanned" / "data")
    expected = contents(Path(alone.places.objects) / "data")
    assert fanned.keys() == expected.keys()
    moved = {name: data for name, data in fanned.items() if data != expected[name]}
    assert moved.keys() == {"latest.json"}  # names the other root
    assert Verdict.from_json((result.step("join").folder / "out" / "verdict").read_text()) == verdict


def test_each_shard_is_a_task_of_its_own(etl: Callable[..., RunResult], phantoms: Path) -> None:
    """One task per shard, all images in the joined shards, and the outcome told at the end."""
    result = etl(phantoms, capacity="16")
    images = len(list(phantoms.rglob("*.jpg")))
    assert result.status is RunStatus.SUCCEEDED, result.culprits
    numbers = [step.name for step in result.steps if step.template == "shard"]
    assert numbers == [f"shard.{number}" for number in range(-(-images // 16))]
    facts = json.loads((result.step("join").folder / "out" / "shards").read_text())
    shards = Shards.open(facts["uri"])
    assert (len(shards), shards.digest) == (images, facts["digest"])
    outcome = json.loads((result.folder.parent / "fanned" / "runs" / "run.json").read_text())
    assert [(row["step"], row["passed"]) for row in outcome["verdicts"]] == [("etl-join", True)]


def test_a_delivery_without_a_split_is_refused_at_the_end(
    etl: Callable[..., RunResult], phantoms: Path, tmp_path: Path
) -> None:
    """The gate of ingest stands in the join too, and its verdict says why."""
    copy = tmp_path / "unjudged"
    copy.mkdir()
    (copy / "train").symlink_to(phantoms / "train")
    (copy / "train.csv").symlink_to(phantoms / "train.csv")
    result = etl(copy)
    assert result.status is RunStatus.REFUSED
    assert result.step("join").reasons == ("no image in the valid split",)
