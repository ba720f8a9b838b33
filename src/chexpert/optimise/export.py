"""One ONNX file: uint8 pixels in, normalisation and calibration in the graph, calibrated probabilities out."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from chexpert.bundle.graphs import has_external_data
from chexpert.bundle.sessions import INPUT, OUTPUT
from chexpert.domain.observations import OBSERVATIONS
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import as_images
from chexpert.optimise.algebra import concatenated_on, pooled_first
from chexpert.optimise.errors import NotExportable, WrongCalibration
from chexpert.optimise.stem import with_exact_pixels

__all__ = ["Served", "export", "export_plain"]


class Served(nn.Module):
    """The whole that is exported: what a server gets and answers."""

    slope: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, calibration: Platt) -> None:
        super().__init__()
        shape = (len(OBSERVATIONS),)
        if any(
            np.shape(part) != shape or not np.isfinite(part).all() for part in (calibration.slope, calibration.bias)
        ):
            raise WrongCalibration(np.shape(calibration.slope), np.shape(calibration.bias))
        self.network = network
        self.register_buffer("slope", torch.tensor(calibration.slope, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(calibration.bias, dtype=torch.float32))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (n, 1, H, W) to probabilities (n, 14)."""
        return torch.sigmoid(self.network(as_images(pixels)) * self.slope + self.bias)


def export(module: nn.Module, calibration: Platt, spec: PreprocessSpec, path: Path) -> Path:
    """As `export_plain`, in the form that runs fastest and rounds best: the same function of its pixels."""
    model = onnx.load(str(export_plain(module, calibration, spec, path)))
    onnx.save(concatenated_on(pooled_first(with_exact_pixels(model))), str(path))
    return path


def export_plain(module: nn.Module, calibration: Platt, spec: PreprocessSpec, path: Path) -> Path:
    """Write the network with its calibration as one ONNX file with a dynamic batch, and return its path.

    Args:
        module: Images (n, 1, H, W) in [0, 1] to logits (n, 14); put into eval mode.
        calibration: From the calibration split.
        spec: Its size is that of the graph's input.
        path: File to write.

    Raises:
        WrongCalibration: Slopes or biases are not 14 finite numbers.
        NotExportable: The graph keeps data in a second file.
    """
    served = Served(module, calibration).eval()
    # Two images: torch.export takes a batch of one for a constant.
    example = torch.zeros((2, 1, spec.size, spec.size), dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        torch.onnx.export(
            served,
            (example,),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if has_external_data(path.read_bytes()):
        raise NotExportable(type(module).__name__, "its tensors lie in a second file")
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes off the screen: what matters of the graph is measured afterwards."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(torch|onnxscript|onnx_ir|timm|copyreg)(\..*)?")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
