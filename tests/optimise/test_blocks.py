"""Dense blocks that are concatenated in 8 bits answer as before."""

from collections.abc import Collection

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from chexpert.optimise.algebra import drop_unread
from chexpert.optimise.blocks import quantised_first

LAYERS = 7
BEGUN = 3
"""Channels that the block begins with."""
GROWTH = 2
"""Channels of each layer."""


class Block:
    """A dense block of (n, 3, 5, 5), written as the quantiser leaves it, with layers that may be spoilt."""

    def __init__(self, *, rounded: Collection[int] = range(1, LAYERS + 1), axis: int = 1) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.growth = GROWTH if axis == 1 else BEGUN
        channels, joined = BEGUN, "x"
        for layer in range(1, LAYERS + 1):
            if layer > 1:
                self.node("Concat", joined, f"conv{layer - 1}", to=f"cat{layer}", axis=axis)
                joined = f"cat{layer}"
            self.layer(layer, joined, channels, is_rounded=layer in rounded)
            channels += GROWTH if axis == 1 else 0
        self.node("Concat", joined, f"conv{LAYERS}", to="y", axis=axis)

    def node(self, operator: str, *inputs: str, to: str, **attributes: object) -> None:
        """Append one, which bears its output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [to], to, **attributes))

    def constant(self, name: str, values: np.ndarray) -> str:
        """Its name."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def layer(self, number: int, joined: str, channels: int, *, is_rounded: bool) -> None:
        """Normalised, rectified, rounded or not, and a convolution."""
        moments = self.rng.uniform(0.5, 1.5, size=(4, channels)).astype(np.float32)
        parts = [self.constant(f"bn{number}.{part}", values) for part, values in enumerate(moments)]
        self.node("BatchNormalization", joined, *parts, to=f"bn{number}", epsilon=1e-3)
        self.node("Relu", f"bn{number}", to=f"relu{number}")
        kernel = self.rng.normal(size=(self.growth, channels, 1, 1)).astype(np.float32)
        read = f"relu{number}"
        if is_rounded:
            scale = self.constant(f"scale{number}", np.float32(0.02))
            zero = self.constant(f"zero{number}", np.uint8(0))
            self.node("QuantizeLinear", read, scale, zero, to=f"q{number}")
            self.node("DequantizeLinear", f"q{number}", scale, zero, to=f"dq{number}")
            read = f"dq{number}"
        self.node("Conv", read, self.constant(f"w{number}", kernel), to=f"conv{number}")

    def changed(self, name: str, *inputs: str) -> None:
        """Have a node read something else."""
        next(node for node in self.nodes if node.name == name).input[:] = inputs

    def model(self, *, channels: int | str = BEGUN) -> onnx.ModelProto:
        """Without what nothing reads any more."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, 5, 5])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])
        graph = helper.make_graph(self.nodes, "g", [x], [y], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        drop_unread(model.graph)
        onnx.checker.check_model(model)
        return model


def answer(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model)
    x = np.random.default_rng(1).normal(size=(2, BEGUN, 5, 5)).astype(np.float32)
    return np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])


def makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.output[0]: node for node in model.graph.node}


def count(model: onnx.ModelProto, operator: str) -> int:
    return sum(node.op_type == operator for node in model.graph.node)


def test_what_is_concatenated_is_rounded() -> None:
    """Each layer reads 8 bits of what the block began with, and of the layers before it, joined by fours."""
    model = Block().model()
    changed = quantised_first(model)
    np.testing.assert_array_equal(answer(changed), answer(model))
    made = makers(changed)
    for layer in range(2, LAYERS + 1):
        concat = made[made[f"dq{layer}"].input[0]]
        assert concat.op_type == "Concat"
        assert [made[name].op_type for name in concat.input] == ["QuantizeLinear"] * (1 + -(-(layer - 1) // 4))
    joined = [list(node.input) for node in changed.graph.node if node.op_type == "Concat" and "conv1" in node.input]
    assert [f"conv{number}" for number in (1, 2, 3, 4)] in joined
    assert count(model, "QuantizeLinear") == LAYERS  # the graph that was given stays


def test_nothing_is_left_that_nothing_reads() -> None:
    """Concatenations, normalisations and constants that were taken apart are gone."""
    changed = quantised_first(Block().model())
    read = {name for node in changed.graph.node for name in node.input} | {"y"}
    assert {name for node in changed.graph.node for name in node.output} <= read
    assert {tensor.name for tensor in changed.graph.initializer} <= read
    assert len({node.name for node in changed.graph.node}) == len(changed.graph.node)


def test_layers_in_float_go_on_from_the_same_parts() -> None:
    """A concatenation in fp32 doesn't keep the one before it alive, which nothing else reads."""
    model = Block(rounded={1, 2, 4, 5, 7}).model()
    changed = quantised_first(model)
    np.testing.assert_array_equal(answer(changed), answer(model))
    made = makers(changed)
    assert {"cat3", "cat6"} <= made.keys()
    assert not {"cat2", "cat4", "cat5", "cat7"} & made.keys()
    assert list(made["cat6"].input) == ["x", "conv1+conv2+conv3+conv4", "conv5"]


def spoilt(kind: str) -> onnx.ModelProto:
    """A block whose second layer, its only rounded one that reads a concatenation, is of another form."""
    block = Block(rounded={2}, axis=2 if kind == "other axis" else 1)
    if kind == "read by others":
        block.changed("conv3", "relu2", "w2")
    elif kind == "not rectified":
        block.changed("q2", "bn2", "scale2", "zero2")
    elif kind == "by channel":
        block.constants = [one for one in block.constants if one.name not in {"scale2", "zero2"}]
        block.constant("scale2", np.full(BEGUN + GROWTH, 0.02, np.float32))
        block.constant("zero2", np.zeros(BEGUN + GROWTH, np.uint8))
    elif kind == "computed":
        block.constants = [one for one in block.constants if one.name != "bn2.0"]
        block.constant("half", np.full(BEGUN + GROWTH, 0.5, np.float32))
        block.nodes.insert(0, helper.make_node("Add", ["half", "half"], ["bn2.0"], "bn2.0"))
    return block.model(channels="c" if kind == "unknown width" else BEGUN)


@pytest.mark.parametrize(
    "kind", ["read by others", "not rectified", "by channel", "computed", "other axis", "unknown width"]
)
def test_other_forms_stay(kind: str) -> None:
    """What can't be taken apart is left as it is."""
    model = spoilt(kind)
    assert quantised_first(model) == model
