"""Variants of one network, exported, measured and judged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from chexpert.bundle.sessions import open_graph
from chexpert.domain.observations import OBSERVATIONS
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.choice import VariantComparison, VariantRow
from chexpert.optimise.measure import speeds
from chexpert.optimise.settings import VariantSettings
from chexpert.optimise.variants import Images, compare

SETTINGS = VariantSettings(latency_runs=30, throughput_runs=2, rounds=100, threads=1)


@pytest.fixture(scope="module")
def comparison(pixels: np.ndarray, calibration: Platt, tmp_path_factory: pytest.TempPathFactory) -> VariantComparison:
    torch.manual_seed(0)
    labels = (np.random.default_rng(0).random((len(pixels), 14)) < 0.5).astype(np.float32)
    return compare(
        build(NetworkSettings("small-cnn")),
        calibration,
        PreprocessSpec(size=64),
        Images(lambda part: pixels[part], labels, np.arange(len(pixels))),
        thresholds=dict.fromkeys(OBSERVATIONS, 0.5),
        folder=tmp_path_factory.mktemp("variants"),
        subject="test",
        settings=SETTINGS,
    )


def _row(comparison: VariantComparison, name: str) -> VariantRow:
    return next(row for row in comparison.rows if row.name == name)


def test_dynamic_int8_is_found_slower_on_the_cnn(comparison: VariantComparison) -> None:
    """On convolutions dynamic int8 takes longer than fp32: it is refused for that, in words, and fp32 is served."""
    int8 = _row(comparison, "dynamic-int8")
    assert comparison.chosen is not None
    assert comparison.chosen.name == "fp32"
    assert "slower" in int8.lost
    assert int8.lost in comparison.verdict.reasons[0]


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
        assert row.images_per_s > 0.0
        assert row.auroc_change.low <= row.auroc_change.estimate <= row.auroc_change.high


def test_each_file_opens_as_a_bundle_would_open_it(comparison: VariantComparison, pixels: np.ndarray) -> None:
    """Every variant keeps names, types and sizes of the served interface."""
    for row in comparison.rows:
        scores = open_graph(row.path.read_bytes(), 64, where=row.name, threads=1).run(pixels)
        assert ((scores >= 0) & (scores <= 1)).all()


def test_speed_is_measured_per_session(comparison: VariantComparison) -> None:
    """The same session under two names is measured alike, since they take turns."""
    file = Path(_row(comparison, "fp32").path)
    session = open_graph(file.read_bytes(), 64, where="here", threads=1)
    measured = speeds({"a": session, "b": session}, SETTINGS)
    assert set(measured) == {"a", "b"}
    assert measured["a"].latency_ms_p50 < 3 * measured["b"].latency_ms_p50
