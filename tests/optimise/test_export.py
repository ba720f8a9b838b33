"""The exported file answers as torch does, whole, from bytes of one file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from chexpert.bundle.sessions import open_graph
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.errors import WrongCalibration
from chexpert.optimise.export import Served, export
from chexpert.optimise.parity import max_abs, session_scores, torch_scores


@pytest.mark.parametrize("name", ["small-cnn", "small-vit", "densenet121", "vit-s16"])
def test_export_answers_as_torch(name: str, pixels: np.ndarray, calibration: Platt, tmp_path: Path) -> None:
    """After a training step, in one file, for any batch: scores equal torch's to 1e-4, BatchNorm in eval mode."""
    torch.manual_seed(0)
    network = build(NetworkSettings(name, dropout=0.3)).train()
    network(torch.rand((4, 1, 64, 64))).sum().backward()
    torch.optim.SGD(network.parameters(), lr=1e-3).step()
    file = export(network, calibration, PreprocessSpec(size=64), tmp_path / "model.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    session = open_graph(file.read_bytes(), 64, where=name, threads=1)
    by_torch = torch_scores(Served(network, calibration), lambda part: pixels[part], len(pixels))
    for batch in (1, 5, 24):
        scores = session_scores(session, lambda part: pixels[part], len(pixels), batch=batch)
        assert max_abs(scores, by_torch) < 1e-4


def test_parity_sees_another_network(pixels: np.ndarray, calibration: Platt) -> None:
    """Other weights differ by far more than an export may; NaN counts as infinitely different."""
    one, two = (
        torch_scores(Served(build(NetworkSettings()), calibration), lambda part: pixels[part], len(pixels))
        for _ in range(2)
    )
    assert max_abs(one, two) > 1e-4
    assert max_abs(one, np.full_like(one, np.nan)) == float("inf")


def test_calibration_is_in_the_graph(pixels: np.ndarray, calibration: Platt, tmp_path: Path) -> None:
    """The file's scores are sigmoid(slope * logit + bias) of the network's logits."""
    network = build(NetworkSettings()).eval()
    file = export(network, calibration, PreprocessSpec(size=64), tmp_path / "model.onnx")
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).float() / 255).numpy()
    scores = open_graph(file.read_bytes(), 64, where="here", threads=1).run(pixels)
    np.testing.assert_allclose(scores, calibration.apply(logits), atol=1e-5)
    onnx.checker.check_model(onnx.load(str(file)))


@pytest.mark.parametrize(
    ("slope", "bias"),
    [(np.ones(13), np.zeros(14)), (np.ones(14), np.zeros((14, 1))), (np.ones(14), np.full(14, np.nan))],
)
def test_a_wrong_calibration_is_refused(slope: np.ndarray, bias: np.ndarray, tmp_path: Path) -> None:
    """Anything but 14 finite slopes and biases is refused before a file is written."""
    with pytest.raises(WrongCalibration, match="14"):
        export(build(NetworkSettings()), Platt(slope, bias), PreprocessSpec(size=64), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
