"""A model repository for Triton, parsed by Triton's own protobuf."""

import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

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


def picture() -> bytes:
    data = BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (300, 260), dtype=np.uint8)).save(data, "JPEG")
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


def test_the_python_backend_answers_as_our_session(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class that Triton calls scores a JPEG as decoding, preprocessing and the bundle's session do."""
    write_repository(bundle, tmp_path)

    class Tensor:
        def __init__(self, name: str, value: np.ndarray) -> None:
            self.name, self.value = name, value

        def as_numpy(self) -> np.ndarray:
            return self.value

    def response(tensors: list[Tensor], error: str = "") -> SimpleNamespace:
        return SimpleNamespace(tensors=tensors, error=error)

    utilities = SimpleNamespace(
        get_input_tensor_by_name=lambda request, _name: request,
        Tensor=Tensor,
        InferenceResponse=response,
        TritonError=str,
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utilities)
    model = TritonPythonModel()
    model.initialize({"model_repository": str(tmp_path / IMAGE_MODEL), "model_version": "1"})
    data = picture()
    requests = [Tensor("image", np.array([[bytes_]], dtype=object)) for bytes_ in (data, b"no image")]
    good, bad = model.execute(requests)
    spec = bundle.card.preprocess
    expected = open_session(bundle).run(preprocess(decode(data, target=spec.size), spec)[None, None])
    np.testing.assert_allclose(good.tensors[0].value, expected, atol=1e-5)
    assert bad.error
    assert not bad.tensors
