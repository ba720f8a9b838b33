"""The same function in fewer operations, as torch's exporter does not write it.

**Pool first.** A convolution of one pixel and an average pooling without padding may change places: both are linear,
one over channels, the other over pixels. After the pooling the convolution has a quarter of the pixels. DenseNet-121
has three such transitions, 11 % of its multiplications.

**Concatenate on.** Each layer of a dense block reads all earlier ones, concatenated anew. What the layer before has
concatenated is taken, and only the newest added: two inputs in place of up to 25.
"""

from copy import deepcopy
from typing import Any, Final

import onnx

__all__ = ["attribute", "concatenated_on", "drop_unread", "pooled_first"]

_POINT: Final = [1, 1]


def pooled_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which each average pooling comes before the 1x1 convolution that it alone reads."""
    changed = deepcopy(model)
    graph = changed.graph
    makers = {name: node for node in graph.node for name in node.output}
    reads = [name for node in graph.node for name in node.input] + [output.name for output in graph.output]
    for pool in [node for node in graph.node if node.op_type == "AveragePool"]:
        convolution = makers.get(pool.input[0])
        if (
            convolution is None
            or reads.count(pool.input[0]) > 1
            or not _is_pointwise(convolution, graph)
            or not _is_unpadded(pool)
        ):
            continue
        last = pool.output[0]
        pool.input[0], convolution.input[0] = convolution.input[0], pool.input[0]
        pool.output[0], convolution.output[0] = convolution.input[0], last
        moved = deepcopy(convolution)
        convolution.CopyFrom(pool)  # nodes stand in the order in which they are computed
        pool.CopyFrom(moved)
    graph.ClearField("value_info")  # shapes noted for values between the nodes are no longer theirs
    return changed


def concatenated_on(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which a concatenation begins with an earlier one, where its inputs begin as that one's."""
    changed = deepcopy(model)
    earlier: dict[tuple[Any, tuple[str, ...]], str] = {}
    for node in changed.graph.node:
        if node.op_type != "Concat":
            continue
        axis, inputs = attribute(node, "axis", None), tuple(node.input)
        for length in range(len(inputs) - 1, 1, -1):
            if (begun := earlier.get((axis, inputs[:length]))) is not None:
                node.ClearField("input")
                node.input.extend((begun, *inputs[length:]))
                break
        earlier[axis, inputs] = node.output[0]
    return changed


def _is_pointwise(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    """Each of its output pixels is made of one input pixel."""
    if node.op_type != "Conv" or set(attribute(node, "strides", [1])) != {1}:
        return False
    sides = [list(tensor.dims[2:]) for tensor in graph.initializer if tensor.name == node.input[1]]
    return sides == [_POINT] and _is_unpadded(node)


def _is_unpadded(node: onnx.NodeProto) -> bool:
    automatic = attribute(node, "auto_pad", b"NOTSET")
    return automatic in {b"NOTSET", b"VALID"} and not any(attribute(node, "pads", []))


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute, or the default where it has none of that name."""
    found = [onnx.helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == name]
    return found[0] if found else default


def drop_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that lead to no output."""
    read = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):  # after all that read it
        if read.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            read.update(node.input)
    for tensor in list(graph.initializer):
        if tensor.name not in read:
            graph.initializer.remove(tensor)
