"""A score does not move with the batch its image is in."""

import numpy as np
import pytest
import torch

from chexpert.bundle.sessions import open_graph
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.export import export
from chexpert.testing.bundles import draw_pixels

TOLERANCE = 1e-6


@pytest.fixture(scope="module", params=["small-cnn", "small-vit"])
def fp32(request: pytest.FixtureRequest, calibration: Platt, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(0)
    network = build(NetworkSettings(request.param)).train()
    head = [weight for weight in network.parameters() if weight.dim() == 2][-1]
    torch.nn.init.normal_(head, std=0.2)  # scores that differ between images: else nothing could move
    network(torch.rand((4, 1, 64, 64)))  # batch statistics that are not those of the first day
    file = tmp_path_factory.mktemp("batches") / "model.onnx"
    return export(network, calibration, PreprocessSpec(size=64), file).read_bytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [8, 16])
def test_fp32_scores_do_not_move_with_the_batch(fp32: bytes, threads: int, batch: int) -> None:
    """In a batch of 8 and of 16, by one thread and by two, each image is answered as alone, to 1e-6."""
    session = open_graph(fp32, 64, where="here", threads=threads)
    pixels = draw_pixels(np.random.default_rng(0), 24, 64)
    alone = np.concatenate([session.run(image[None]) for image in pixels])
    assert alone.std(axis=0).max() > 1000 * TOLERANCE
    moved = [
        np.abs(session.run(pixels[at : at + batch]) - alone[at : at + batch]).max()
        for at in range(len(pixels) - batch + 1)
    ]
    assert max(moved) <= TOLERANCE
