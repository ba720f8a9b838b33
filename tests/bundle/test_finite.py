"""A graph that holds NaN or infinity is not opened: with ReLU and pooling behind it, its answers would not show it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.graphs import tensors
from chexpert.bundle.sessions import INPUT, ONNXRUNTIME, OPENVINO, OUTPUT, Session, open_graph

SIZE = 16
OPSETS = [helper.make_opsetid("", 18)]
RUNTIMES = pytest.mark.parametrize("runtime", [ONNXRUNTIME, OPENVINO])
VALUES = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])


def network(spoil: Callable[[dict[str, np.ndarray]], None] = lambda _: None) -> onnx.ModelProto:
    """Convolution, ReLU, MaxPool, mean, Gemm and Sigmoid: what swallows NaN on its way to a score."""
    rng = np.random.default_rng(0)
    weights = {
        "conv": rng.normal(0, 0.01, (4, 1, 3, 3)).astype(np.float32),
        "gemm": rng.normal(0, 1, (4, 14)).astype(np.float32),
    }
    spoil(weights)
    nodes = [
        helper.make_node("Cast", [INPUT], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["grey", "conv"], ["felt"]),
        helper.make_node("Relu", ["felt"], ["kept"]),
        helper.make_node("MaxPool", ["kept"], ["most"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["most"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "gemm"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "relu",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", 14])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=10)


def opened(model: onnx.ModelProto, runtime: str) -> Session:
    return open_graph(model.SerializeToString(), SIZE, where="here", threads=1, runtime=runtime)


@RUNTIMES
def test_a_sound_graph_is_opened(runtime: str) -> None:
    """Its weights are finite, and it answers probabilities."""
    opened(network(), runtime).warm()


@RUNTIMES
@VALUES
@pytest.mark.parametrize("name", ["conv", "gemm"])
def test_one_broken_weight_is_refused_by_name(runtime: str, value: float, name: str) -> None:
    """NaN or infinity in a single weight is found before any image is answered."""
    model = network(lambda weights: weights[name].flat.__setitem__(5, value))
    with pytest.raises(BrokenBundle, match=f"NaN or infinity in {name}"):
        opened(model, runtime)


def _initializer(tensor: TensorProto) -> onnx.ModelProto:
    model = network()
    model.graph.initializer.append(tensor)
    return model


def _constant(**attribute: Any) -> onnx.ModelProto:
    model = network()
    model.graph.node.append(helper.make_node("Constant", [], ["hidden"], **attribute))
    return model


def _branch(tensor: TensorProto) -> onnx.ModelProto:
    model = network()
    constant = helper.make_node("Constant", [], ["hidden"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    return model


def _function(tensor: TensorProto) -> onnx.ModelProto:
    model = network()
    constant = helper.make_node("Constant", [], ["hidden"], value=tensor)
    model.functions.append(helper.make_function("d", "f", [], ["hidden"], [constant], OPSETS))
    return model


def _tensor(kind: int, value: float, *, raw: bool = False, name: str = "hidden") -> TensorProto:
    """Two finite values and this one, as raw bytes or in the field of the type."""
    bits = {TensorProto.FLOAT16: np.uint16, TensorProto.BFLOAT16: np.uint16}.get(kind)
    values = np.array([1.0, -2.0, value])
    if kind == TensorProto.BFLOAT16:
        short = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    elif kind == TensorProto.FLOAT16:
        short = values.astype(np.float16).view(np.uint16)
    else:
        short = values.astype(np.float64 if kind == TensorProto.DOUBLE else np.float32)
    tensor = TensorProto(name=name, data_type=kind, dims=[3])
    if raw:
        tensor.raw_data = short.tobytes()
    elif bits is not None:
        tensor.int32_data.extend(short.tolist())
    else:
        (tensor.double_data if kind == TensorProto.DOUBLE else tensor.float_data).extend(short.tolist())
    return tensor


KINDS = [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16]


@VALUES
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "field"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_float_type_is_read(kind: int, value: float, *, raw: bool) -> None:
    """16, 32 and 64 bits, as raw bytes or in the type's own field; the largest finite value is no infinity."""
    with pytest.raises(BrokenBundle, match="NaN or infinity in hidden"):
        opened(_initializer(_tensor(kind, value, raw=raw)), ONNXRUNTIME)
    assert all(tensor.finite for tensor in tensors(_initializer(_tensor(kind, 65504.0, raw=raw)).SerializeToString()))


@pytest.mark.parametrize(
    "model",
    [
        _constant(value=_tensor(TensorProto.FLOAT, np.nan, name="")),
        _constant(value_float=float("inf")),
        _constant(value_floats=[0.0, float("nan")]),
        _branch(_tensor(TensorProto.FLOAT, np.nan)),
        _function(_tensor(TensorProto.FLOAT, np.inf)),
    ],
    ids=["constant", "a float", "floats", "branch", "function"],
)
def test_it_is_found_wherever_it_hides(model: onnx.ModelProto) -> None:
    """In constants, branches and functions; a tensor without a name is called as the output it makes."""
    with pytest.raises(BrokenBundle, match="NaN or infinity in hidden"):
        opened(model, ONNXRUNTIME)


def test_a_broken_scale_of_quantisation_is_refused() -> None:
    """The scales of an int8 graph are floats among its initializers."""
    with pytest.raises(BrokenBundle, match="NaN or infinity in conv_scale"):
        opened(_initializer(_tensor(TensorProto.FLOAT, np.inf, name="conv_scale")), ONNXRUNTIME)


def test_integers_are_not_taken_for_floats() -> None:
    """Minus one in 32 bits has the bits of a NaN."""
    assert np.isnan(np.array(-1, np.int32).view(np.float32))
    opened(_initializer(numpy_helper.from_array(np.array([-1, -1], np.int32), "axes")), ONNXRUNTIME).warm()
