"""Weights that are rounded in turn make smaller errors than nearest ones."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from scipy.special import logit

from chexpert.bundle.sessions import open_graph
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.compensation import Compensation, rounded
from chexpert.optimise.export import export
from chexpert.optimise.quantise import PRODUCTS, folded, static_int8


def correlated(rng: np.random.Generator, inputs: int, places: int) -> np.ndarray:
    """Inputs that four things make, and a little noise."""
    return np.asarray(
        rng.normal(size=(places, 4)) @ rng.normal(size=(4, inputs)) + 0.1 * rng.normal(size=(places, inputs))
    )


def test_sums_of_what_goes_together_are_kept() -> None:
    """Of inputs that go together the sums err by less than a third of what nearest steps make them err."""
    rng = np.random.default_rng(0)
    weights, inputs = rng.normal(scale=3.0, size=(5, 40)), correlated(rng, 40, 1000)
    found = rounded(weights, inputs.T @ inputs / 1000, np.rint)
    assert np.array_equal(found, np.rint(found))
    assert np.abs(found - weights).max() < 4.0

    def error(steps: np.ndarray) -> float:
        return float(np.sqrt(np.mean((inputs @ (steps - weights).T) ** 2)))

    assert error(found) < error(np.rint(weights)) / 3.0


def test_of_what_has_nothing_in_common_the_nearest_steps_are_best() -> None:
    """Nothing can be taken back; nor can it of what is always zero."""
    weights = np.random.default_rng(0).normal(scale=3.0, size=(5, 40))
    assert np.array_equal(rounded(weights, np.diag(np.arange(1.0, 41.0)), np.rint), np.rint(weights))
    assert np.array_equal(rounded(weights, np.zeros((40, 40)), np.rint), np.rint(weights))


class Network:
    """One small network in fp32 and in 8 bits."""

    def __init__(self, name: str, pixels: np.ndarray, calibration: Platt, folder: Path) -> None:
        torch.manual_seed(0)
        fp32 = export(build(NetworkSettings(name)), calibration, PreprocessSpec(size=64), folder / "fp32.onnx")
        self.name, self.pixels = name, pixels
        self.plain = onnx.load(str(folded(fp32, folder / "folded.onnx")))
        self.nearest = onnx.load(str(static_int8(folder / "folded.onnx", folder / "int8.onnx", pixels, outputs=False)))
        self.compensation = Compensation(self.plain, pixels, threads=1)

    def error(self, model: onnx.ModelProto) -> float:
        """Rms change of a logit, without the mean of each."""
        change = self._logits(model) - self._logits(self.plain)
        return float(np.sqrt(np.mean((change - change.mean(axis=0)) ** 2)))

    def _logits(self, model: onnx.ModelProto) -> np.ndarray:
        session = open_graph(model.SerializeToString(), 64, where="test", threads=1)
        return np.asarray(logit(session.run(self.pixels).astype(float)))


@pytest.fixture(scope="module", params=["small-cnn", "small-vit"])
def network(
    request: pytest.FixtureRequest, pixels: np.ndarray, calibration: Platt, tmp_path_factory: pytest.TempPathFactory
) -> Network:
    return Network(request.param, pixels, calibration, tmp_path_factory.mktemp("compensated"))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def unrounded_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """The products read what was to be rounded: what is left is the error of the weights."""
    changed = deepcopy(model)
    makers = {node.output[0]: node for node in changed.graph.node}
    for node in changed.graph.node:
        for position, name in enumerate(node.input):
            if node.op_type in PRODUCTS and name in makers and makers[name].op_type == "DequantizeLinear":
                rounding = makers.get(makers[name].input[0])
                node.input[position] = name if rounding is None else rounding.input[0]
    return changed


def test_int8_weights_make_a_smaller_error(network: Network) -> None:
    """On the same scales, other steps; nothing but weights is changed."""
    found = network.compensation.int8(network.nearest)
    before, after = constants(network.nearest), constants(found)
    moved = [name for name in before if not np.array_equal(before[name], after[name])]
    assert len(moved) > 2
    assert {before[name].dtype for name in moved} == {np.dtype(np.int8)}
    assert all(np.abs(before[name].astype(int) - after[name]).max() < 30 for name in moved)
    assert list(found.graph.node) == list(network.nearest.graph.node)
    least = 0.7 if network.name == "small-cnn" else 0.95  # whose inputs have less in common
    assert network.error(unrounded_inputs(found)) < least * network.error(unrounded_inputs(network.nearest))


def test_bf16_weights_make_a_smaller_error(network: Network) -> None:
    """bf16 holds each weight of a product exactly, and the answers are nearer than those of the nearest."""

    def stored(values: np.ndarray) -> np.ndarray:
        return np.asarray(torch.from_numpy(values.copy()).to(torch.bfloat16).to(torch.float32).numpy())

    found = network.compensation.bfloat16()
    products = [node.input[1] for node in found.graph.node if node.op_type in {"Conv", "MatMul"}]
    weights = {name: values for name, values in constants(found).items() if name in products}
    assert len(weights) > 3
    assert all(np.array_equal(stored(values), values) for values in weights.values())
    nearest = deepcopy(network.plain)
    names = {node.input[1] for node in nearest.graph.node if node.op_type in {"Conv", "MatMul"}}
    for tensor in nearest.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(numpy_helper.from_array(stored(numpy_helper.to_array(tensor)), tensor.name))
    assert network.error(found) < 0.7 * network.error(nearest)


@pytest.mark.parametrize("change", [{"group": 2}, {"dilations": [2, 2]}, {"auto_pad": "SAME_UPPER"}])
def test_other_convolutions_stay(change: dict[str, object], pixels: np.ndarray) -> None:
    """Groups, holes and borders that depend on the image are not taken for what they are not."""
    rng = np.random.default_rng(0)
    shapes = {"first": (4, 1, 3, 3), "second": (4, 4 // int(str(change.get("group", 1))), 3, 3)}
    tensors = [numpy_helper.from_array(rng.normal(size=shapes[name]).astype(np.float32), name) for name in shapes]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "first"], ["y"]),
        helper.make_node("Conv", ["y", "second"], ["scores"], **change),
    ]
    x = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 1, 64, 64])
    y = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "c", "h", "w"])
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    found = constants(Compensation(model, pixels[:2], threads=1).bfloat16())
    assert np.array_equal(found["second"], constants(model)["second"])
    assert "first" not in found
