"""The pixels that a graph's first convolution sees."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise.export import export
from chexpert.optimise.stem import middle_level, with_exact_pixels, with_whole_pixels


@pytest.mark.parametrize("name", ["small-cnn", "small-vit", "densenet121", "vit-s16"])
def test_the_first_convolution_sees_numbers_that_bf16_holds(name: str, calibration: Platt, tmp_path: Path) -> None:
    """Every grey level reaches it as a number of 8 significant bits, and black padding stays middle grey."""
    network = build(NetworkSettings(name))
    model = onnx.load(str(export(network, calibration, PreprocessSpec(size=64), tmp_path / "model.onnx")))
    nodes = [node for node in model.graph.node if node.op_type != "Shape"]
    assert [node.op_type for node in nodes[:3]] == ["Cast", "Sub", "Conv"]
    middle = {tensor.name: tensor for tensor in model.graph.initializer}[nodes[1].input[1]]
    seen = torch.arange(256, dtype=torch.float32) - torch.from_numpy(numpy_helper.to_array(middle).copy())
    assert torch.equal(seen.to(torch.bfloat16).to(torch.float32), seen)
    assert seen[127] == -seen[128] == -0.5


def chain(*steps: tuple[str, float | np.ndarray], weights: int = 1) -> onnx.ModelProto:
    """Pixels through a cast, these steps, and as many convolutions that share one kernel."""
    rng = np.random.default_rng(0)
    kernel = numpy_helper.from_array(rng.normal(size=(2, 1, 3, 3)).astype(np.float32), "kernel")
    nodes, at, constants = [helper.make_node("Cast", ["pixels"], ["x0"], to=TensorProto.FLOAT)], "x0", [kernel]
    for number, (kind, value) in enumerate(steps, 1):
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), f"c{number}"))
        nodes.append(helper.make_node(kind, [at, f"c{number}"], [f"x{number}"]))
        at = f"x{number}"
    sums = [f"y{number}" for number in range(weights)]
    nodes += [helper.make_node("Conv", [at, "kernel"], [name], pads=[1, 1, 1, 1]) for name in sums]
    nodes.append(helper.make_node("Sum", sums, ["scores"]))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 1, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2, 8, 8])
    graph = helper.make_graph(nodes, "g", [pixels], [scores], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def answer(model: onnx.ModelProto) -> np.ndarray:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 1, 8, 8), dtype=np.uint8)
    return np.asarray(ReferenceEvaluator(model).run(None, {"pixels": pixels})[0])


def test_any_chain_of_numbers_is_one_subtraction() -> None:
    """Scale, mean and spread in any order and number: the same sums, zero padding included."""
    model = chain(("Mul", 1 / 255), ("Sub", 0.45), ("Div", 0.225), ("Add", 0.1), ("Mul", -3.0))
    changed = with_exact_pixels(model)
    assert [node.op_type for node in changed.graph.node] == ["Cast", "Sub", "Conv", "Sum"]
    assert {tensor.name for tensor in changed.graph.initializer} == {"kernel", "pixels_middle"}
    onnx.checker.check_model(changed)
    np.testing.assert_allclose(answer(changed), answer(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        chain(),
        chain(("Mul", 0.0)),
        chain(("Mul", np.ones((1, 1, 8, 8)))),
        chain(("Mul", 1 / 255), weights=2),
        chain(("Mul", 1 / 255), ("Pow", 2.0)),
    ],
    ids=["no chain", "times zero", "a number for each pixel", "two convolutions", "no affine step"],
)
def test_other_graphs_are_left_as_they_are(model: onnx.ModelProto) -> None:
    """Nothing is changed where the sums might be others."""
    assert with_exact_pixels(model) is model


def with_bias(model: onnx.ModelProto) -> onnx.ModelProto:
    """As folding leaves it."""
    convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    convolution.input.append("bias")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0.5, -0.5], np.float32), "bias"))
    return model


@pytest.mark.parametrize("has_bias", [True, False])
def test_whole_pixels_move_the_border_alone(has_bias: bool) -> None:
    """8 bits hold p - 128; the bias makes up for the half level, but where padding stands for pixels."""
    model = with_exact_pixels(chain(("Mul", 1 / 255), ("Sub", 0.5), ("Div", 0.25)))
    model = with_bias(model) if has_bias else model
    changed = with_whole_pixels(model)
    assert (middle_level(model), middle_level(changed)) == (127.5, 128.0)
    difference = np.abs(answer(changed) - answer(model))
    kernel = numpy_helper.to_array(next(tensor for tensor in changed.graph.initializer if tensor.name == "kernel"))
    assert difference[..., 1:-1, 1:-1].max() < 1e-4
    assert 1e-3 < difference.max() < 0.5 * np.abs(kernel).sum((1, 2, 3)).max()


def test_without_centred_pixels_all_stays() -> None:
    """There is no middle to move."""
    model = chain(("Mul", 1 / 255), weights=2)
    assert with_whole_pixels(model) == model
