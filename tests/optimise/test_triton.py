"""A model repository for Triton, parsed by Triton's own protobuf."""

import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image as Pillow
from tritonclient.grpc import model_config_pb2

from chexpert.bundle.sessions import open_session
from chexpert.bundle.store import Bundle, fetch
from chexpert.imaging.decode import decode
from chexpert.imaging.preprocess import preprocess
from chexpert.optimise.errors import NotForTriton
from chexpert.optimise.triton import GRAPH_MODEL, IMAGE_MODEL, write_repository
from chexpert.optimise.triton_model import TritonPythonModel
from chexpert.testing.bundles import tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles")
    return fetch(tiny(str(folder)).uri, None, folder)


def config(folder: Path, name: str) -> model_config_pb2.ModelConfig:
    text = (folder / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def picture(seed: int = 0) -> bytes:
    data = BytesIO()
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, (300, 260), dtype=np.uint8)).save(data, "JPEG")
    return data.getvalue()


def test_the_graphs_config_is_what_triton_reads(bundle: Bundle, tmp_path: Path) -> None:
    """Pixels in, 14 scores out, batched, on the CPU; the graph beside it is the bundle's."""
    write_repository(bundle, tmp_path, instances=2)
    parsed = config(tmp_path, GRAPH_MODEL)
    assert (parsed.name, parsed.backend) == (GRAPH_MODEL, "onnxruntime")
    assert [(i.name, i.data_type, list(i.dims)) for i in parsed.input] == [
        ("pixels", model_config_pb2.TYPE_UINT8, [1, 64, 64])
    ]
    assert [(o.name, list(o.dims)) for o in parsed.output] == [("scores", [14])]
    assert parsed.HasField("dynamic_batching")
    assert [(g.kind, g.count) for g in parsed.instance_group] == [(model_config_pb2.ModelInstanceGroup.KIND_CPU, 2)]
    assert (tmp_path / GRAPH_MODEL / "1" / "model.onnx").read_bytes() == bundle.model.read_bytes()


def test_every_gpu_gets_instances_of_the_graph(bundle: Bundle, tmp_path: Path) -> None:
    """Two GPUs are named in the group; the Python backend, which decodes, stays on the CPU."""
    write_repository(bundle, tmp_path, gpus=2)
    (group,) = config(tmp_path, GRAPH_MODEL).instance_group
    assert (group.kind, list(group.gpus)) == (model_config_pb2.ModelInstanceGroup.KIND_GPU, [0, 1])
    (group,) = config(tmp_path, IMAGE_MODEL).instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_CPU


@pytest.mark.parametrize(("gpus", "instances"), [(-1, 1), (0, 0)])
def test_counts_that_make_no_sense_are_refused(bundle: Bundle, tmp_path: Path, gpus: int, instances: int) -> None:
    """Fewer than no GPU or no instance at all is refused before a file is written."""
    with pytest.raises(ValueError, match="at least"):
        write_repository(bundle, tmp_path, gpus=gpus, instances=instances)
    assert not list(tmp_path.iterdir())


def test_a_bundle_for_openvino_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """Its figures are those of another runtime."""
    card = replace(bundle.card, variant=replace(bundle.card.variant, runtime="openvino"))
    with pytest.raises(NotForTriton, match="openvino"):
        write_repository(replace(bundle, card=card), tmp_path)


class Tensor:
    """As Triton's, with what the model asks of it."""

    def __init__(self, name: str, value: np.ndarray) -> None:
        self.name, self.value = name, value

    def as_numpy(self) -> np.ndarray:
        """Its values."""
        return self.value


class Counted:
    """A session that notes the images of each run, and fails where it is told to."""

    def __init__(self, session: Any, fails: Callable[[np.ndarray], bool] = lambda _: False) -> None:
        self.session, self.fails, self.runs = session, fails, []

    def run(self, names: Any, inputs: dict[str, np.ndarray]) -> Any:
        """As ONNX Runtime's."""
        self.runs.append(len(inputs["pixels"]))
        if self.fails(inputs["pixels"]):
            msg = "out of memory"
            raise MemoryError(msg)
        return self.session.run(names, inputs)


@pytest.fixture
def model(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TritonPythonModel:
    """The class as Triton starts it, beside a module with the names that Triton gives."""
    write_repository(bundle, tmp_path)
    utilities = SimpleNamespace(
        get_input_tensor_by_name=lambda request, _name: request,
        Tensor=Tensor,
        InferenceResponse=lambda tensors, error="": SimpleNamespace(tensors=tensors, error=error),
        TritonError=str,
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utilities)
    model = TritonPythonModel()
    model.initialize({"model_repository": str(tmp_path / IMAGE_MODEL), "model_version": "1"})
    return model


def request(*images: bytes) -> Tensor:
    return Tensor("image", np.array([[data] for data in images], dtype=object))


def expected(bundle: Bundle, *images: bytes) -> np.ndarray:
    spec = bundle.card.preprocess
    pixels = [preprocess(decode(data, target=spec.size), spec)[None] for data in images]
    return open_session(bundle).run(np.stack(pixels))


def test_the_python_backend_answers_as_our_session(bundle: Bundle, model: TritonPythonModel) -> None:
    """Requests of one and of two JPEGs are scored by one run, as decoding, preprocessing and our session do."""
    model._session = Counted(model._session)
    one, two, three = (picture(seed) for seed in range(3))
    first, second = model.execute([request(one), request(two, three)])
    np.testing.assert_allclose(first.tensors[0].value, expected(bundle, one), atol=1e-5)
    np.testing.assert_allclose(second.tensors[0].value, expected(bundle, two, three), atol=1e-5)
    assert model._session.runs == [3]


def test_what_cannot_be_read_fails_alone(bundle: Bundle, model: TritonPythonModel) -> None:
    """Bytes that are no image, and a value that is none at all: each has its own error, the others their scores."""
    model._session = Counted(model._session)
    one, two = picture(0), picture(1)
    strange = Tensor("image", np.array([[7]], dtype=object))
    first, bad, worse, last = model.execute([request(one), request(two, b"no image"), strange, request(two)])
    np.testing.assert_allclose(first.tensors[0].value, expected(bundle, one), atol=1e-5)
    np.testing.assert_allclose(last.tensors[0].value, expected(bundle, two), atol=1e-5)
    assert "neither PNG, JPEG nor DICOM" in bad.error
    assert "Error" in worse.error
    assert not bad.tensors
    assert not worse.tensors
    assert model._session.runs == [2]


def test_a_run_that_fails_is_repeated_request_by_request(bundle: Bundle, model: TritonPythonModel) -> None:
    """What the graph cannot answer together it may answer alone; where it cannot, that request is told why."""
    big = Counted(model._session, lambda pixels: len(pixels) > 1)
    model._session = big
    first, wide = model.execute([request(picture(0)), request(picture(1), picture(2))])
    np.testing.assert_allclose(first.tensors[0].value, expected(bundle, picture(0)), atol=1e-5)
    assert wide.error == "MemoryError: out of memory"
    assert big.runs == [3, 1, 2]


def test_without_a_readable_image_nothing_is_run(model: TritonPythonModel) -> None:
    """Errors alone need no graph."""
    model._session = Counted(model._session)
    assert [bool(response.error) for response in model.execute([request(b"x"), request(b"y")])] == [True, True]
    assert model._session.runs == []
