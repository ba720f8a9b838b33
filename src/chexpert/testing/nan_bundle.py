"""The step `optimise` with a planted fault: the exported graph answers NaN for images without any contrast.

`python -m chexpert.testing.nan_bundle --in … --out … --run …` stands in for `chexpert step optimise`. Ordinary images
score as they should, so that parity, accuracy and the warm answer pass; a blank film divides zero by zero.
"""

import os
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, compose, helper
from torch import nn

from chexpert.bundle.sessions import INPUT, OUTPUT
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.optimise import export, variants
from chexpert.pipeline import invocation
from chexpert.pipeline.catalogue import STEPS

__all__ = ["main", "plant"]


def plant(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its output times range / range, where range is the image's brightest minus its darkest pixel."""
    renamed = compose.add_prefix(model, "sound/")
    graph = renamed.graph
    nodes = [
        helper.make_node("Cast", [f"sound/{INPUT}"], ["fault/grey"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["fault/grey"], ["fault/flat"], axis=1),
        helper.make_node("ReduceMax", ["fault/flat", "fault/axes"], ["fault/bright"], keepdims=1),
        helper.make_node("ReduceMin", ["fault/flat", "fault/axes"], ["fault/dark"], keepdims=1),
        helper.make_node("Sub", ["fault/bright", "fault/dark"], ["fault/range"]),
        helper.make_node("Div", ["fault/range", "fault/range"], ["fault/one"]),
        helper.make_node("Mul", [f"sound/{OUTPUT}", "fault/one"], [OUTPUT]),
    ]
    graph.node.extend(nodes)
    graph.initializer.append(helper.make_tensor("fault/axes", TensorProto.INT64, [1], [1]))
    graph.output[0].name = OUTPUT
    for node in graph.node:
        for number, name in enumerate(node.input):
            if name == f"sound/{INPUT}":
                node.input[number] = INPUT
    graph.input[0].name = INPUT
    onnx.checker.check_model(renamed)
    return renamed


def main(arguments: list[str]) -> int:
    """Run the step with an export that plants the fault."""
    sound = export.export

    def planted(module: nn.Module, calibration: Platt, spec: PreprocessSpec, path: Path) -> Path:
        sound(module, calibration, spec, path)
        onnx.save(plant(onnx.load(path)), path)
        return path

    setattr(variants, "export", planted)  # noqa: B010  the module does not offer it: this is a break-in
    return invocation.main(["optimise", *arguments], os.environ, STEPS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
