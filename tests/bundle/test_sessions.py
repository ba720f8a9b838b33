"""An opened bundle answers pixels, and what it must not answer is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto

from chexpert.bundle.errors import BrokenBundle, WrongPixels
from chexpert.bundle.graphs import has_external_data
from chexpert.bundle.sessions import Session, open_graph, open_session
from chexpert.bundle.store import Bundle, fetch
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import STATISTICS
from chexpert.testing.bundles import draw_pixels, tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles")
    return fetch(tiny(str(folder)).uri, None, folder)


def test_scores_are_probabilities_that_depend_on_the_image(bundle: Bundle) -> None:
    """Each image has 14 scores in [0, 1], other images have others, and a batch answers as single images do."""
    session = open_session(bundle)
    pixels = draw_pixels(np.random.default_rng(0), 20, session.size)
    scores = session.run(pixels)
    assert scores.shape == (20, len(OBSERVATIONS))
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (scores.std(axis=0) > 0.02).all()
    np.testing.assert_allclose(np.concatenate([session.run(image[None]) for image in pixels]), scores, atol=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 1, 64, 64), np.float32),
        np.zeros((1, 1, 64, 32), np.uint8),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((64, 64), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_other_pixels_are_refused(bundle: Bundle, pixels: np.ndarray) -> None:
    """Another type or shape is refused before ONNX Runtime sees it, and both shapes are named."""
    with pytest.raises(WrongPixels, match=r"uint8 \(n, 1, 64, 64\)"):
        open_session(bundle).run(pixels)


def test_warming_passes_a_sound_bundle(bundle: Bundle) -> None:
    """A bundle that answers probabilities is ready."""
    open_session(bundle).warm()


def test_warming_refuses_nan(tmp_path: Path) -> None:
    """A bundle that answers NaN everywhere is refused; one that does so for bright images passes until it sees one."""
    refused = fetch(tiny(str(tmp_path), nan_above=0.0).uri, None, tmp_path)
    with pytest.raises(BrokenBundle, match="nan"):
        open_session(refused).warm()
    session = open_session(fetch(tiny(str(tmp_path), nan_above=0.6).uri, None, tmp_path))
    session.warm()
    dark, bright = np.full((1, 1, 64, 64), 100, np.uint8), np.full((1, 1, 64, 64), 200, np.uint8)
    assert np.isfinite(session.run(dark)).all()
    assert np.isnan(session.run(bright)).all()


def test_the_reference_holds_scores_and_statistics(bundle: Bundle) -> None:
    """reference.parquet has the score columns, the priority and the image statistics, of one row per image."""
    table = pq.read_table(bundle.reference)
    assert table.column_names == [*map(str, OBSERVATIONS), "priority", *STATISTICS]
    assert table.num_rows == 500
    assert all(np.isfinite(table[name].to_numpy()).all() for name in table.column_names)


def _open(model: onnx.ModelProto) -> Session:
    return open_graph(model.SerializeToString(), 64, where="here")


def test_external_data_is_refused(bundle: Bundle) -> None:
    """A tensor that lies in another file is found wherever it hides; the untouched graph is not suspected."""
    model = onnx.load(str(bundle.model))
    assert not has_external_data(model.SerializeToString())
    tensor = next(t for t in model.graph.initializer if t.name == "weights")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(BrokenBundle, match="other files"):
        _open(model)


def test_external_data_in_a_subgraph_is_refused(bundle: Bundle) -> None:
    """A constant within a branch or a function counts as well."""
    hidden = TensorProto(data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    constant = onnx.helper.make_node("Constant", [], ["c"], value=hidden)
    branch = onnx.helper.make_graph([constant], "branch", [], [])
    for place in ("branch", "function"):
        model = onnx.load(str(bundle.model))
        if place == "branch":
            model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
        else:
            opsets = [onnx.helper.make_opsetid("", 18)]
            model.functions.append(onnx.helper.make_function("d", "f", [], ["c"], [constant], opsets))
        with pytest.raises(BrokenBundle, match="other files"):
            _open(model)


def _rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "x"
    model.graph.node[0].input[0] = "x"


def _widen(model: onnx.ModelProto) -> None:
    for side in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[side].dim_value = 128


@pytest.mark.parametrize("change", [_rename_input, _widen])
def test_another_interface_is_refused(bundle: Bundle, change: Callable[[onnx.ModelProto], None]) -> None:
    """Names, types and sizes of input and output are held against the card before the first request."""
    model = onnx.load(str(bundle.model))
    change(model)
    with pytest.raises(BrokenBundle):
        _open(model)


@pytest.mark.parametrize("data", [b"", b"MZ\x90\x00not a model", b"\x3a\xff\xff"])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    """Empty, foreign and truncated files are refused as a broken bundle, not by a crash."""
    with pytest.raises(BrokenBundle, match=r"model\.onnx"):
        open_graph(data, 64, where="here")
