"""A real bundle of a few kilobytes: an ONNX graph whose scores depend on the image, built without torch."""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from chexpert.bundle import reference
from chexpert.bundle.card import MODEL, REFERENCE, Card, OperatingPoint, VariantFacts
from chexpert.bundle.sessions import INPUT, OUTPUT, open_graph
from chexpert.bundle.store import BundleRef, write
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.studies import View
from chexpert.imaging.image import Image
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.imaging.statistics import statistics

__all__ = ["draw_pixels", "tiny"]

_REGIONS: Final = 4
"""The graph sees the image as 4 x 4 mean grey levels."""
_REFERENCE_ROWS: Final = 500
_ABOVE_WHITE: Final = 2.0
_OPSET: Final = 18
_IR_VERSION: Final = 10


def tiny(
    root_uri: str,
    *,
    size: int = 64,
    seed: int = 0,
    operating_point: float = 0.5,
    nan_above: float | None = None,
) -> BundleRef:
    """Write a whole bundle below `root_uri`.

    Args:
        root_uri: Folder or fsspec URL that holds bundles.
        size: Side of the image in pixels, a multiple of 4.
        seed: Of the weights: another seed answers the same image with other scores, and has another digest.
        operating_point: Threshold of every observation; over 1 nothing is ever flagged.
        nan_above: Images whose mean grey level (0 to 1) is higher are answered with NaN. The ramp of `Session.warm`
            has 0.5, so a bundle that is to pass it needs more than that.
    """
    model = _graph(size, np.random.default_rng(seed), nan_above)
    card = Card(
        preprocess=PreprocessSpec(size=size),
        operating_points={o: OperatingPoint(operating_point, 0.9, 0.95, 0.9, 60, pooled=False) for o in OBSERVATIONS},
        data_version="0" * 64,
        git_commit="0" * 40,
        metrics={"auroc_mean": 0.5},
        variant=VariantFacts("fp32", "float32", len(model), 0.1, 0.0),
        network={"name": "tiny", "image_size": size, "seed": seed},
    )
    return write(root_uri, card, {MODEL: model, REFERENCE: _reference(_graph(size, np.random.default_rng(seed)), size)})


def draw_pixels(rng: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
    """Smooth random grey images, uint8 (count, 1, size, size); `size` is a multiple of 4."""
    coarse = rng.uniform(30, 225, (count, 1, _REGIONS, _REGIONS))
    fine = coarse.repeat(size // _REGIONS, axis=2).repeat(size // _REGIONS, axis=3)
    return np.clip(fine + rng.normal(0, 12, fine.shape), 0, 255).astype(np.uint8)


def _graph(size: int, rng: np.random.Generator, nan_above: float | None = None) -> bytes:
    labels = len(OBSERVATIONS)
    constants = {
        "white": np.float32(255),
        "middle": np.float32(0.5),
        "weights": rng.normal(0, 1.5, (_REGIONS * _REGIONS, labels)).astype(np.float32),
        "bias": rng.normal(-2, 0.5, labels).astype(np.float32),
        "limit": np.float32(_ABOVE_WHITE if nan_above is None else nan_above),
        "axes": np.array([1], dtype=np.int64),
    }
    kernel = [size // _REGIONS] * 2
    nodes = [
        helper.make_node("Cast", [INPUT], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["grey", "white"], ["image"]),
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=kernel, strides=kernel),
        helper.make_node("Flatten", ["pooled"], ["regions"]),
        helper.make_node("Sub", ["regions", "middle"], ["centred"]),
        helper.make_node("Gemm", ["centred", "weights", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        helper.make_node("ReduceMean", ["regions", "axes"], ["mean"], keepdims=1),
        helper.make_node("Greater", ["mean", "limit"], ["bright"]),
        # The root of a negative number: a graph that holds NaN itself is not opened.
        helper.make_node("Sub", ["limit", "mean"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["nan"]),
        helper.make_node("Where", ["bright", "nan", "probabilities"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", 1, size, size])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", labels])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _reference(model: bytes, size: int) -> bytes:
    pixels = draw_pixels(np.random.default_rng(7), _REFERENCE_ROWS, size)
    scores = open_graph(model, size, where="tiny", threads=1).run(pixels)
    seen = np.array([statistics(Image(image[0], size, size, View.FRONTAL)) for image in pixels])
    return reference.encode(scores, seen)
