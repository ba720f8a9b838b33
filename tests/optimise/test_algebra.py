"""Graphs of fewer operations answer as before."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from chexpert.optimise.algebra import concatenated_on, pooled_first

SIDE = 6


def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Of (n, 3, 6, 6), with a kernel of one pixel, one of nine, and a bias."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in (("point", (2, 3, 1, 1)), ("nine", (2, 3, 3, 3)), ("bias", (2,)))
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], constants), opset_imports=[helper.make_opsetid("", 20)]
    )
    onnx.checker.check_model(model)
    return model


def answer(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model)
    x = np.random.default_rng(1).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    return np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def convolution(*inputs: str, to: str = "c", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", inputs, [to], **attributes)


def pooling(source: str = "c", to: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("AveragePool", [source], [to], **{"kernel_shape": [2, 2], "strides": [2, 2], **attributes})


@pytest.mark.parametrize("pool", [{}, {"strides": [1, 1]}, {"kernel_shape": [3, 3]}, {"ceil_mode": 1}])
def test_a_pooling_comes_before_a_convolution_of_one_pixel(pool: dict[str, Any]) -> None:
    """Whatever its window and step: the same numbers, and the graph that was given stays."""
    model = graph(convolution("x", "point", "bias"), pooling(**pool))
    changed = pooled_first(model)
    assert kinds(changed) == ["AveragePool", "Conv"]
    assert kinds(model) == ["Conv", "AveragePool"]
    np.testing.assert_allclose(answer(changed), answer(model), atol=1e-6)


def test_two_poolings_both_come_first() -> None:
    """The convolution wanders behind the second as behind the first."""
    model = graph(convolution("x", "point", "bias"), pooling(to="p"), pooling("p", strides=[1, 1]))
    changed = pooled_first(model)
    assert kinds(changed) == ["AveragePool", "AveragePool", "Conv"]
    np.testing.assert_allclose(answer(changed), answer(model), atol=1e-6)


@pytest.mark.parametrize(
    "nodes",
    [
        (convolution("x", "nine", "bias", pads=[1] * 4), pooling()),  # reads its neighbours
        (convolution("x", "point", "bias", strides=[2, 2]), pooling()),  # leaves pixels out
        (convolution("x", "point", "bias", pads=[1] * 4), pooling()),  # borders are the bias alone
        (convolution("x", "point", "bias"), pooling(pads=[1] * 4, count_include_pad=1)),  # borders weigh less
        (convolution("x", "point", "bias"), pooling(auto_pad="SAME_UPPER")),
        (convolution("x", "point", "bias"), pooling(to="p"), helper.make_node("Concat", ["p", "p"], ["y"], axis=1)),
        (convolution("x", "point"), helper.make_node("Relu", ["c"], ["r"]), pooling("r")),  # not linear between
        (pooling("x"),),
    ],
)
def test_other_poolings(nodes: tuple[onnx.NodeProto, ...]) -> None:
    """Only what commutes is changed, and what is changed answers alike."""
    model = graph(*nodes)
    changed = pooled_first(model)
    assert kinds(changed)[:1] == (["AveragePool"] if len(nodes) == 1 or nodes[-1].op_type == "Concat" else ["Conv"])
    np.testing.assert_allclose(answer(changed), answer(model), atol=1e-6)


def test_a_convolution_that_others_read_stays() -> None:
    """What it puts out before the pooling is wanted too."""
    model = graph(convolution("x", "point"), pooling(to="p"), helper.make_node("GlobalAveragePool", ["c"], ["g"]),
                  helper.make_node("Add", ["p", "g"], ["y"]))  # fmt: skip
    assert pooled_first(model) == model


def joined(*inputs: str, to: str, axis: int = 1) -> onnx.NodeProto:
    return helper.make_node("Concat", inputs, [to], axis=axis)


def test_a_concatenation_goes_on_from_the_longest_before_it() -> None:
    """As in a dense block, whose layers read all that came before."""
    model = graph(
        helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"]),
        joined("x", "a", to="xa"), joined("x", "a", "b", to="xab"), joined("x", "a", "b", "a", to="y"),
    )  # fmt: skip
    changed = concatenated_on(model)
    assert [list(node.input) for node in changed.graph.node[2:]] == [["x", "a"], ["xa", "b"], ["xab", "a"]]
    np.testing.assert_array_equal(answer(changed), answer(model))


@pytest.mark.parametrize(
    "last",
    [joined("a", "x", "x", to="y"), joined("x", "a", "x", to="y", axis=2), joined("x", "a", to="y")],
)
def test_other_concatenations_stay(last: onnx.NodeProto) -> None:
    """Those in another order or along another axis, and a repetition, which only a compiler removes."""
    model = graph(helper.make_node("Relu", ["x"], ["a"]), joined("x", "a", to="xa"), last)
    assert concatenated_on(model) == model
