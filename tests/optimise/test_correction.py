"""The mean error of a reduced precision, taken out of its graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from chexpert.bundle.sessions import open_graph
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.correction import corrected, mean_error
from chexpert.optimise.errors import NotExportable
from chexpert.optimise.export import export
from chexpert.optimise.quantise import folded, static_int8

OFFSET = np.linspace(-0.4, 0.5, 14, dtype=np.float32)


@pytest.fixture(scope="module", params=["small-cnn", "small-vit"])
def graph(request: pytest.FixtureRequest, calibration: Platt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("graph") / "fp32.onnx"
    return export(build(NetworkSettings(request.param)), calibration, PreprocessSpec(size=64), path)


def answers(path: Path, pixels: np.ndarray) -> np.ndarray:
    return open_graph(path.read_bytes(), 64, where=path.name).run(pixels)


def test_an_offset_moves_every_logit_by_itself(graph: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """What was added is found again as the mean error, and taken out the scores are those from before."""
    moved = corrected(graph, tmp_path / "moved.onnx", OFFSET)
    before, after = answers(graph, pixels), answers(moved, pixels)
    assert mean_error(before, after) == pytest.approx(OFFSET, abs=1e-4)
    back = corrected(moved, tmp_path / "back.onnx", mean_error(after, before))
    assert answers(back, pixels) == pytest.approx(before, abs=1e-5)


def test_a_quantised_graph_is_corrected_too(graph: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Its mean error is gone on the images it was taken from, and not larger on others."""
    int8 = static_int8(folded(graph, tmp_path / "folded.onnx"), tmp_path / "int8.onnx", pixels[:16], outputs=True)
    error = mean_error(answers(int8, pixels[:16]), answers(graph, pixels[:16]))
    better = corrected(int8, tmp_path / "better.onnx", error)
    assert np.abs(error).max() > 1e-3
    assert mean_error(answers(better, pixels[:16]), answers(graph, pixels[:16])) == pytest.approx(
        np.zeros(14), abs=1e-4
    )
    other, exact = pixels[16:], answers(graph, pixels[16:])
    assert (
        np.abs(mean_error(answers(better, other), exact)).mean()
        < np.abs(mean_error(answers(int8, other), exact)).mean()
    )


def test_scores_at_the_ends_do_not_outweigh_the_others() -> None:
    """A score of exactly 0 or 1 counts as one a millionth away."""
    low, high = np.zeros((1, 14), np.float32), np.ones((1, 14), np.float32)
    assert mean_error(low, high) == pytest.approx(np.full(14, 27.63), abs=0.01)


def test_another_end_of_a_graph_is_refused(tmp_path: Path) -> None:
    """Without a bias of its own before the sigmoid there is nothing to correct."""
    value = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 14])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 14])
    nodes = [helper.make_node("Sigmoid", ["pixels"], ["scores"])]
    path = tmp_path / "bare.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [value], [scores])), str(path))
    with pytest.raises(NotExportable, match="bare"):
        corrected(path, tmp_path / "out.onnx", OFFSET)
