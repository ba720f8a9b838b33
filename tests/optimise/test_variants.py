"""Variants of one network, exported, measured and judged."""

import sys
from dataclasses import asdict, replace
from html import unescape
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from chexpert.bundle.card import MODEL, REFERENCE, Card
from chexpert.bundle.sessions import open_graph
from chexpert.domain.observations import OBSERVATIONS
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.activations import batches
from chexpert.optimise.choice import VariantComparison, VariantRow
from chexpert.optimise.errors import NoCalibrationImages
from chexpert.optimise.kinds import KINDS
from chexpert.optimise.page import page
from chexpert.optimise.quantise import folded, static_int8
from chexpert.optimise.settings import VariantSettings
from chexpert.optimise.stem import CENTRED, with_whole_pixels
from chexpert.optimise.variants import Images, compare

SETTINGS = VariantSettings(latency_runs=30, batches=(1, 4), throughput_runs=2, rounds=100, threads=1)


@pytest.fixture(scope="module", params=["small-cnn", "small-vit"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def comparison(
    network: str, pixels: np.ndarray, calibration: Platt, tmp_path_factory: pytest.TempPathFactory
) -> VariantComparison:
    return compared(network, pixels, calibration, tmp_path_factory.mktemp("variants"), SETTINGS)


def compared(
    network: str, pixels: np.ndarray, calibration: Platt, folder: Path, settings: VariantSettings
) -> VariantComparison:
    torch.manual_seed(0)
    labels = (np.random.default_rng(0).random((len(pixels), 14)) < 0.5).astype(np.float32)
    return compare(
        build(NetworkSettings(network)),
        calibration,
        PreprocessSpec(size=64),
        Images(lambda part: pixels[part], labels, np.arange(len(pixels)), pixels),
        thresholds=dict.fromkeys(OBSERVATIONS, 0.5),
        folder=folder,
        subject="test",
        settings=settings,
    )


def _row(comparison: VariantComparison, name: str) -> VariantRow:
    return next(row for row in comparison.rows if row.name == name)


def test_every_variant_is_served_or_told_why_not(comparison: VariantComparison) -> None:
    """All are listed, one is served, and each other one has its reason in the verdict."""
    assert [row.name for row in comparison.rows] == list(KINDS)
    assert comparison.chosen is not None
    lost = [row for row in comparison.rows if row is not comparison.chosen]
    assert all(row.lost and row.lost in comparison.verdict.reasons[0] for row in lost)
    assert not comparison.chosen.lost


def test_figures_are_measured_on_the_files(comparison: VariantComparison) -> None:
    """Sizes are those on disk, int8 is the smaller one and changes scores, fp32 changes none."""
    fp32, int8 = _row(comparison, "fp32"), _row(comparison, "dynamic-int8")
    assert all(row.size_bytes == row.path.stat().st_size for row in (fp32, int8))
    assert int8.size_bytes < 0.5 * fp32.size_bytes
    assert fp32.parity_max_abs < 1e-5
    assert 0.0 < int8.score_change_max < 0.2
    assert fp32.score_change_max == 0.0
    for row in (fp32, int8):
        assert 0.0 < row.latency_ms_p50 <= row.latency_ms_p95
        assert row.latency_ms_p95 <= row.latency_ms_p99
        assert set(row.images_per_s) == {1, 4}
        assert all(rate > 0.0 for rate in row.images_per_s.values())
        assert row.auroc_change.low <= row.auroc_change.estimate <= row.auroc_change.high


def test_each_file_opens_as_a_bundle_would_open_it(comparison: VariantComparison, pixels: np.ndarray) -> None:
    """Every variant that can run here keeps the served interface, and answers each image as it was compared."""
    for row in comparison.rows:
        if row.unavailable:
            continue
        session = open_graph(
            row.path.read_bytes(), 64, where=row.name, threads=1, runtime=row.runtime, precision=row.precision
        )
        scores = np.concatenate([session.run(pixels[at : at + 1]) for at in range(len(pixels))])
        assert ((scores >= 0) & (scores <= 1)).all()
        np.testing.assert_allclose(scores, row.scores, atol=1e-6)


def test_what_is_slow_in_a_network_is_quantised(comparison: VariantComparison, network: str) -> None:
    """QDQ pairs stand around every convolution and all of a transformer's products; a CNN's last layer is fp32."""
    nodes = onnx.load(str(_row(comparison, "static-int8").path)).graph.node
    makers = {output: node.op_type for node in nodes for output in node.output}
    users = {(name, node.op_type) for node in nodes for name in node.input}
    found = {
        (
            node.op_type,
            all(makers.get(name) == "DequantizeLinear" for name in node.input[:2])
            and all((output, "QuantizeLinear") in users for output in node.output),
        )
        for node in nodes
        if node.op_type in {"Conv", "MatMul", "Gemm"}
    }
    products = {("MatMul", True), ("Gemm", True)} if network == "small-vit" else {("Gemm", False)}
    assert found == {("Conv", True)} | products


def test_the_card_of_each_variant_is_its_row(comparison: VariantComparison) -> None:
    """What is measured comes back from the text of a card as it stands in the row."""
    for row in (row for row in comparison.rows if not row.unavailable):
        card = Card(
            preprocess=PreprocessSpec(size=64),
            operating_points={},
            data_version="",
            git_commit="",
            metrics={},
            variant=row.facts(),
            network={},
            files={MODEL: "0" * 64, REFERENCE: "0" * 64},
        )
        facts = Card.from_json(card.to_json()).variant
        assert facts == row.facts()
        assert facts.compared is not None
        assert facts.compared.auroc_change is not None
        for name in ("name", "precision", "runtime", "size_bytes", "latency_ms_p50", "parity_max_abs"):
            assert getattr(facts, name) == getattr(row, name)
        for name in ("latency_ms_p95", "latency_ms_p99", "images_per_s", "score_change_max", "flag_agreement"):
            assert getattr(facts.compared, name) == getattr(row, name)
        assert asdict(facts.compared.auroc_change) == row.auroc_change.to_dict()


def test_static_int8_is_calibrated_on_the_given_images(comparison: VariantComparison, tmp_path: Path) -> None:
    """Other images give other ranges, so another file; the pairs are there."""
    fp32 = _row(comparison, "fp32").path
    plain = folded(fp32, tmp_path / "folded.onnx")
    grey = static_int8(plain, tmp_path / "grey.onnx", np.full((2, 1, 64, 64), 128, np.uint8), outputs=True)
    assert grey.read_bytes() != _row(comparison, "static-int8").path.read_bytes()
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(str(grey)).graph.node}


def test_ranges_are_wider_than_what_was_seen(comparison: VariantComparison, pixels: np.ndarray, tmp_path: Path) -> None:
    """By a twentieth; the pixels' own range holds all grey levels, each exactly."""
    plain = with_whole_pixels(onnx.load(str(folded(_row(comparison, "fp32").path, tmp_path / "folded.onnx"))))
    onnx.save(plain, str(tmp_path / "plain.onnx"))
    few = onnx.load(str(static_int8(tmp_path / "plain.onnx", tmp_path / "few.onnx", pixels[:4] // 2, outputs=False)))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in few.graph.initializer}
    rounding = {node.input[0]: node.input[1:] for node in few.graph.node if node.op_type == "QuantizeLinear"}
    scale, zero = (constants[name] for name in rounding.pop(CENTRED))
    assert (scale, zero) == (1.0, 128)
    assert len(rounding) > 1
    for name, (step, _) in rounding.items():
        seen = np.concatenate([found[name] for found in batches(plain, [name], pixels[:4] // 2, threads=1)])
        span = max(seen.max(), 0.0) - min(seen.min(), 0.0)
        assert 255.0 * constants[step] == pytest.approx(1.05 * span, rel=1e-3)


@pytest.mark.parametrize("reduced", ["static-int8", "openvino-bf16"])
def test_reduced_precision_needs_images_of_its_own(
    pixels: np.ndarray, calibration: Platt, tmp_path: Path, reduced: str
) -> None:
    """Ranges and mean errors come from images that nothing is compared on; without any, that is refused."""
    settings = replace(SETTINGS, variants=("fp32", reduced), calibration_images=0)
    with pytest.raises(NoCalibrationImages):
        compared("small-cnn", pixels, calibration, tmp_path, settings)


def test_a_variant_that_cannot_run_is_left_out(
    pixels: np.ndarray, calibration: Platt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without OpenVINO its variants lose by that, and the others are measured all the same."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    settings = replace(SETTINGS, variants=("fp32", "openvino-bf16"), latency_runs=2)
    result = compared("small-cnn", pixels, calibration, tmp_path, settings)
    assert result.chosen is not None
    assert result.chosen.name == "fp32"
    assert "cannot be imported" in _row(result, "openvino-bf16").lost


def test_the_page_stands_alone(comparison: VariantComparison) -> None:
    """Every variant with its reason, drawings inline, and nothing fetched from elsewhere."""
    html = page(comparison)
    assert all(row.name in html and (row.lost or "served") in unescape(html) for row in comparison.rows)
    assert html.count("<svg") == 3
    assert not any(word in html for word in ("http", "<script", "<link", "src="))


@pytest.mark.parametrize("variants", [("static-int8",), ("fp32", "int3")])
def test_unknown_variants_are_refused(variants: tuple[str, ...]) -> None:
    """Settings name known variants, fp32 among them, or are refused with the names there are."""
    with pytest.raises(ValueError, match="openvino-bf16"):
        VariantSettings(variants=variants)


def test_a_demo_measures_less() -> None:
    """The profile of phantoms takes fewer variants and runs than that of the whole of CheXpert."""
    brief, whole = VariantSettings.of_profile("phantom"), VariantSettings.of_profile("chexpert")
    assert set(brief.variants) < set(whole.variants)
    assert brief.latency_runs < whole.latency_runs
