"""`chexpert optimise`: compare and triton, from the outside."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chexpert.bundle.card import OperatingPoint
from chexpert.bundle.sessions import open_session
from chexpert.bundle.store import fetch
from chexpert.cli.main import run
from chexpert.cli.optimise import app
from chexpert.data.manifest import Manifest
from chexpert.data.phantom_folder import PhantomSettings, generate
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation.calibration import Platt
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.networks.store import save
from chexpert.optimise.kinds import KINDS
from chexpert.optimise.settings import VariantSettings
from chexpert.optimise.triton import GRAPH_MODEL, IMAGE_MODEL
from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.step import StepContext
from chexpert.pipeline.steps import ingest
from chexpert.testing.bundles import tiny

SIZE = 32
QUICK = {"latency_runs": 3, "batches": (1, 4), "throughput_runs": 2, "rounds": 50, "threads": 1}


@pytest.fixture(scope="module")
def evaluated(calibration: Platt, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Evaluation, manifest and shards of a network that nobody trained, as `compare` takes them."""
    folder = tmp_path_factory.mktemp("evaluated")
    generate(folder / "phantoms", PhantomSettings(train_patients=12, valid_patients=6, size=40), workers=1)
    given = STEPS["ingest"].resolve({"source": str(folder / "phantoms"), "size": str(SIZE)})
    context = StepContext("ingest", given, folder / "in", folder, Places(objects=str(folder / "objects")), "run")
    ingest.run(context)
    settings = NetworkSettings("small-cnn", image_size=SIZE)
    digest = save(build(settings), settings, str(folder / "network"))
    point = asdict(OperatingPoint(0.5, 0.9, 0.95, 0.9, 60, pooled=False))
    evaluation = {
        "model": {"uri": str(folder / "network"), "digest": digest},
        "calibration": calibration.to_dict(),
        "operating_points": {str(o): point for o in OBSERVATIONS},
        "metrics": {"auroc/mean": 0.5},
        "data_version": Manifest.read(str(folder / "manifest")).digest,
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    shards = json.loads((folder / "shards").read_text())["uri"]
    return [str(folder / "evaluation.json"), str(folder / "manifest"), shards]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the comparison brief, whatever the profile."""

    def profile(**limits: float) -> None:
        monkeypatch.setattr(VariantSettings, "of_profile", lambda _: VariantSettings(**{**QUICK, **limits}))

    return profile


def test_compare_writes_all_that_was_measured(evaluated: list[str], quick: Callable[..., None], tmp_path: Path) -> None:
    """A line for each variant, verdict and page, and a bundle whose card is the verdict's row for each that can run."""
    quick()
    result = CliRunner().invoke(app, ["compare", *evaluated, str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert all(name in result.output for name in KINDS)
    assert all(head in result.output for head in ("images/s", "images/s together", "AUROC change"))
    verdict = Verdict.from_json((tmp_path / "variants.json").read_text())
    assert verdict.passed
    assert "</svg>" in (tmp_path / "variants.html").read_text()
    rows = {row["name"]: row for row in verdict.evidence}
    assert list(rows) == list(KINDS)
    able = {name for name, row in rows.items() if row["latency_ms_p50"] is not None}
    assert {"fp32", "dynamic-int8", "static-int8"} <= able
    bundles = [fetch(str(folder), None, tmp_path / "cache") for folder in (tmp_path / "bundles").iterdir()]
    assert {bundle.card.variant.name for bundle in bundles} == able
    for bundle in bundles:
        open_session(bundle, threads=1).warm()
        facts = bundle.card.variant.to_dict()
        row = rows[bundle.card.variant.name]
        beside = facts.pop("compared")
        beside["auroc_change"] = beside["auroc_change"] or dict.fromkeys(("estimate", "low", "high"))
        assert {key: row[key] for key in (*facts, *beside)} == {**facts, **beside}
        assert f"{row['images_per_s']['1']:.1f}" in result.output
        assert f"{row['images_per_s']['4']:.1f} by 4" in result.output


def test_compare_exits_3_where_the_gate_refuses(
    evaluated: list[str], quick: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that is not torch's to the limit is refused: nothing is served, and the files say why."""
    quick(variants=("fp32",), parity=-1.0)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    monkeypatch.setattr(sys, "argv", ["chexpert", "optimise", "compare", *evaluated, str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 3
    verdict = Verdict.from_json((tmp_path / "variants.json").read_text())
    assert not verdict.passed
    assert "differs from torch" in verdict.reasons[0]
    assert "refused" in (tmp_path / "variants.html").read_text()


@pytest.mark.parametrize(
    ("argument", "content", "reason"),
    [
        (0, b"PAR1\x84", "not what the step `evaluate` wrote"),
        (0, b"[]", "model, calibration, operating_points, metrics, data_version are missing"),
        (0, b'{"model": {}, "calibration": {}, "operating_points": {}, "metrics": {}}', "data_version are missing"),
        (1, b"{}", "no manifest"),
        (2, b'{"uri": "elsewhere"}', "there is none: build the shards"),
    ],
)
def test_compare_says_which_argument_is_another_file(
    *,
    evaluated: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argument: int,
    content: bytes,
    reason: str,
) -> None:
    """A line that names the file, as when a step's outputs were taken for one another; nothing is written."""
    other = tmp_path / "other"
    other.write_bytes(content)
    given = [str(other) if at == argument else text for at, text in enumerate(evaluated)]
    monkeypatch.setattr(sys, "argv", ["chexpert", "optimise", "compare", *given, str(tmp_path / "out")])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code not in {None, 0}
    told = capsys.readouterr().err
    assert told.startswith(f"error: {other}")
    assert reason in told
    assert not (tmp_path / "out").exists()


def test_triton_writes_both_models(tmp_path: Path) -> None:
    """A repository that names the bundle's models, and the line that starts it."""
    ref = tiny(str(tmp_path / "bundles"))
    result = CliRunner().invoke(app, ["triton", ref.uri, str(tmp_path / "models"), "--instances", "2"])
    assert result.exit_code == 0, result.output
    assert f"--model-repository={tmp_path / 'models'}" in result.output
    assert {folder.name for folder in (tmp_path / "models").iterdir()} == {GRAPH_MODEL, IMAGE_MODEL}
    assert all("count: 2" in file.read_text() for file in (tmp_path / "models").glob("*/config.pbtxt"))


def test_triton_refuses_a_bundle_that_is_not_whole(tmp_path: Path) -> None:
    """Nothing is written of a bundle whose graph was altered."""
    ref = tiny(str(tmp_path / "bundles"))
    (Path(ref.uri) / "model.onnx").write_bytes(b"altered")
    result = CliRunner().invoke(app, ["triton", ref.uri, str(tmp_path / "models")])
    assert result.exit_code == 1
    assert "model.onnx has sha256" in str(result.exception)
    assert not (tmp_path / "models").exists()
