"""Which products of a network are rounded to 8 bits."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import torch
from scipy.special import expit, logit

from chexpert.bundle.errors import RuntimeUnavailable
from chexpert.bundle.sessions import ONNXRUNTIME, OPENVINO, open_graph
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.evaluation.calibration import Platt
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.networks.build import build
from chexpert.networks.settings import NetworkSettings
from chexpert.optimise import mixed
from chexpert.optimise.export import export
from chexpert.optimise.mixed import Part, Rounding, flags_changed, multiplications
from chexpert.optimise.quantise import PRODUCTS, folded, only_rounded, static_int8


@dataclass(frozen=True)
class Rounded:
    """One network in fp32 and in 8 bits."""

    plain: onnx.ModelProto
    quantised: onnx.ModelProto
    rounding: Rounding
    parts: list[Part]


@pytest.fixture(scope="module", params=["small-cnn", "small-vit"])
def rounded(
    request: pytest.FixtureRequest,
    pixels: np.ndarray,
    calibration: Platt,
    tmp_path_factory: pytest.TempPathFactory,
) -> Rounded:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("rounded")
    network = build(NetworkSettings(request.param))
    fp32 = export(network, calibration, PreprocessSpec(size=64), folder / "fp32.onnx")
    path = folded(fp32, folder / "folded.onnx")
    plain, quantised = (
        onnx.load(str(one)) for one in (path, static_int8(path, folder / "int8.onnx", pixels, outputs=False))
    )
    rounding = Rounding(plain, quantised, pixels, threads=1)
    return Rounded(plain, quantised, rounding, rounding.parts(8))


def scores(graph: onnx.ModelProto, pixels: np.ndarray, runtime: str = ONNXRUNTIME) -> np.ndarray:
    precision = "int8" if runtime == OPENVINO else "float32"
    session = open_graph(graph.SerializeToString(), 64, where="test", threads=1, runtime=runtime, precision=precision)
    return session.run(pixels)


def changes(graph: onnx.ModelProto, rounded: Rounded, pixels: np.ndarray, runtime: str = ONNXRUNTIME) -> np.ndarray:
    """As the module says it: of logits, without each label's mean."""
    change = logit(scores(graph, pixels, runtime).astype(float)) - logit(
        rounded.rounding.scores[: len(pixels)].astype(float)
    )
    return np.asarray(change - change.mean(axis=0))


def medians(rounded: Rounded) -> dict[Observation, float]:
    """Operating points that half of the images are above, some of them closely."""
    return dict(zip(OBSERVATIONS, np.median(rounded.rounding.scores, axis=0).tolist(), strict=True))


def changed(graph: onnx.ModelProto, rounded: Rounded, pixels: np.ndarray) -> float:
    found = changes(graph, rounded, pixels, OPENVINO)  # as the search sees it
    return flags_changed(rounded.rounding.scores, found, medians(rounded))


def eight_bits(graph: onnx.ModelProto) -> int:
    """Products that read rounded activations."""
    made = {name for node in graph.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return sum(node.input[0] in made for node in graph.graph.node if node.op_type in PRODUCTS)


def test_only_what_is_named_is_rounded(rounded: Rounded, pixels: np.ndarray) -> None:
    """With no name the graph is fp32's again, and nothing is left of what rounded it; with all, no sum is rounded."""
    plain, quantised = rounded.plain, rounded.quantised
    back = only_rounded(quantised, plain, [])
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in back.graph.node}
    assert len(back.graph.initializer) == len(plain.graph.initializer)
    np.testing.assert_allclose(scores(back, pixels), scores(plain, pixels), atol=1e-6)
    whole = only_rounded(quantised, plain, [part.name for part in rounded.parts])
    made = {name for node in whole.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    assert eight_bits(whole) == eight_bits(quantised)
    assert {node.op_type for node in whole.graph.node if made & set(node.input)} <= set(PRODUCTS)
    assert changes(whole, rounded, pixels).any()


def test_every_product_is_tried_alone(rounded: Rounded, pixels: np.ndarray) -> None:
    """Each with its own error and cost; those with the most multiplications per squared error come first."""
    plain, quantised = rounded.plain, rounded.quantised
    assert len(rounded.parts) == eight_bits(quantised) > 3
    for part in rounded.parts[:2] + rounded.parts[-2:]:
        alone = changes(only_rounded(quantised, plain, [part.name]), rounded, pixels[:8])
        assert part.error == pytest.approx(np.sqrt((alone**2).mean()), rel=1e-3, abs=1e-6)
    gains = [part.multiplications / max(part.error, 1e-4) ** 2 for part in rounded.parts]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] > 0.0


def test_as_many_as_the_flags_bear(rounded: Rounded, pixels: np.ndarray) -> None:
    """All flags may change: all parts. None may: as many as change none. Between: no more than may."""
    points = medians(rounded)

    def as_many(share: float) -> onnx.ModelProto:
        return rounded.rounding.as_many(rounded.parts, points, share, rest=rounded.plain, precision="int8")

    every = as_many(1.0 / 8.0)
    assert eight_bits(every) == len(rounded.parts)
    assert eight_bits(as_many(-1.0)) == 0
    whole = changed(every, rounded, pixels)
    some = as_many(0.5 * whole)
    assert whole > 0.0
    assert 0 < eight_bits(some) < len(rounded.parts)
    assert changed(some, rounded, pixels) <= 0.5 * whole


def test_multiplications_are_those_of_the_layers(rounded: Rounded) -> None:
    """Counted by hooks on torch's own layers; attention has two products more, of a sequence with itself."""
    graph = rounded.plain
    counted = []

    def count(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(module, torch.nn.Conv2d):
            counted.append(output[0].numel() * module.weight[0].numel())
        elif isinstance(module, torch.nn.Linear):
            counted.append(output[0].numel() * module.in_features)

    name = "small-vit" if "MatMul" in {node.op_type for node in graph.graph.node} else "small-cnn"
    network = build(NetworkSettings(name)).eval()
    for module in network.modules():
        module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 1, 64, 64))
    found = list(multiplications(graph).values())
    for expected in counted:
        found.remove(expected)
    assert all(left > 0 for left in found)
    assert bool(found) == (name == "small-vit")


def test_each_change_is_tried_on_each_image() -> None:
    """Changes of 0, -1.5 and -2.5, when eight times as long, change 3 of 12 flags: an eighth of that is told."""
    first = OBSERVATIONS[1]
    raised, moved = np.full((4, len(OBSERVATIONS)), -9.0), np.zeros((3, len(OBSERVATIONS)))
    raised[:, 1], moved[:, 1] = [-1.0, 1.0, 2.0, 3.0], np.array([0.0, -1.5, -2.5]) / 8.0
    assert flags_changed(expit(raised).astype(np.float32), moved, {first: 0.5}) == pytest.approx(3 / 12 / 8)


def test_where_a_precision_is_missing_nothing_is_rounded(rounded: Rounded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variant is then absent by that reason: the search does not end the comparison of the others."""

    def refused(*_: object, **__: object) -> None:
        where = "test"
        raise RuntimeUnavailable(where, "OpenVINO", "this processor has no BF16")

    monkeypatch.setattr(mixed, "open_graph", refused)
    found = rounded.rounding.as_many(
        rounded.parts, medians(rounded), 1.0, rest=rounded.plain, precision="int8-bfloat16"
    )
    assert eight_bits(found) == 0
