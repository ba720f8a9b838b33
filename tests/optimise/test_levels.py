"""Channels are levelled, and the function stays."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from chexpert.bundle.sessions import open_graph
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.activations import batches
from chexpert.optimise.algebra import drop_unread
from chexpert.optimise.export import export
from chexpert.optimise.levels import levelled
from chexpert.optimise.quantise import folded

SIDE = 4


def block(*, operator: str = "BatchNormalization", pool: str = "", group: int = 1) -> onnx.ModelProto:
    """Channels of very different range, a rectifier, perhaps a pooling, and what reads them."""
    rng = np.random.default_rng(0)
    ranges = np.array([0.01, 0.1, 1.0, 10.0], np.float32)
    same = np.ones(4, np.float32)
    constants = {
        "spread": rng.uniform(0.5, 1.0, size=(4, 1, 1, 1)).astype(np.float32),
        "ranges": ranges,
        "same": same,
        "kernel": (rng.uniform(0.5, 1.0, size=(4, 4, 1, 1)) * ranges[:, None, None, None]).astype(np.float32),
        "bias": ranges,
        "last": rng.normal(size=(2 * group, 4 // group, 3, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], "x", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "spread"], ["four"], "four"),
        helper.make_node("BatchNormalization", ["four", "ranges", "same", "same", "ranges"], ["before"], "before")
        if operator == "BatchNormalization"
        else helper.make_node("Conv", ["four", "kernel", "bias"], ["before"], "before"),
        helper.make_node("Relu", ["before"], ["relu"], "relu"),
        helper.make_node("Conv", ["pool" if pool else "relu", "last"], ["scores"], "scores", group=group),
    ]
    if pool:
        nodes.insert(4, helper.make_node(pool, ["relu"], ["pool"], "pool", kernel_shape=[2, 2]))
    x = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 1, SIDE, SIDE])
    y = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "c", "h", "w"])
    tensors = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    drop_unread(graph)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (6, 1, SIDE, SIDE), dtype=np.uint8)


def values(model: onnx.ModelProto, name: str) -> np.ndarray:
    return np.concatenate([found[name] for found in batches(model, [name], images(), threads=1)])


def loudness(model: onnx.ModelProto) -> np.ndarray:
    """Of each channel that a rectifier puts out, against the loudest."""
    tops = values(model, "relu").max((0, 2, 3))
    return np.asarray(tops / tops.max())


@pytest.mark.parametrize("operator", ["BatchNormalization", "Conv"])
@pytest.mark.parametrize("pool", ["", "AveragePool", "MaxPool"])
def test_most_of_a_range_goes_over_to_the_weights(operator: str, pool: str) -> None:
    """Channels keep the fourth root of their range; constants that others read stay theirs, answers the same."""
    model = block(operator=operator, pool=pool)
    changed = levelled(model, images(), threads=1)
    onnx.checker.check_model(changed)
    expected = np.maximum(loudness(model), 1e-3) ** 0.25
    heard = loudness(model) > 1e-3
    assert heard.sum() > 2
    np.testing.assert_allclose(loudness(changed)[heard], expected[heard], rtol=1e-4)
    np.testing.assert_allclose(values(changed, "scores"), values(model, "scores"), rtol=1e-4, atol=1e-4)


def spoilt(kind: str) -> onnx.ModelProto:
    """A block that can't be levelled."""
    model = block(group=2 if kind == "groups" else 1)
    relu = next(node for node in model.graph.node if node.name == "relu")
    if kind == "read twice":
        model.graph.node.append(helper.make_node("Relu", ["relu"], ["more"], "more"))
        model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, None))
    elif kind == "an output":
        model.graph.output.append(helper.make_tensor_value_info("relu", TensorProto.FLOAT, None))
    elif kind == "not linear":
        relu.op_type = "Sigmoid"
    elif kind == "other maker":
        next(node for node in model.graph.node if node.name == "before").op_type = "Sum"
    return model


@pytest.mark.parametrize("kind", ["read twice", "an output", "not linear", "other maker", "groups"])
def test_other_forms_stay(kind: str) -> None:
    """What is not of that form is left as it is."""
    model = spoilt(kind)
    assert levelled(model, images(), threads=1) == model


def test_a_network_answers_as_before(pixels: np.ndarray, calibration: Platt, tmp_path: Path) -> None:
    """All its rectifiers that a convolution reads are levelled; one is read by the mean over the image."""
    torch.manual_seed(0)
    fp32 = export(build(NetworkSettings("small-cnn")), calibration, PreprocessSpec(size=64), tmp_path / "fp32.onnx")
    plain = onnx.load(str(folded(fp32, tmp_path / "folded.onnx")))
    changed = levelled(plain, pixels, threads=1)
    assert changed != plain
    before, after = (open_graph(one.SerializeToString(), 64, where="test", threads=1) for one in (plain, changed))
    np.testing.assert_allclose(after.run(pixels), before.run(pixels), atol=1e-5)
