"""A bundle that is not what it says is never ready, and the server says why, over HTTP and in its log."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import onnx
import pytest
from onnx import numpy_helper

from chexpert.bundle.store import BundleRef
from chexpert.domain.digests import of_bytes
from chexpert.testing import bundles

Write = Callable[..., str]


def rewritten(folder: Path) -> BundleRef:
    """The same folder with a card that holds the digests of what lies there now: an honest card of a bad content."""
    card = json.loads((folder / "card.json").read_text())
    card["files"] = {p.name: of_bytes(p.read_bytes()) for p in folder.iterdir() if p.name != "card.json"}
    return signed(folder, card)


def signed(folder: Path, card: dict[str, Any]) -> BundleRef:
    text = json.dumps(card)
    (folder / "card.json").write_text(text)
    digest = of_bytes(text.encode())
    return BundleRef(str(folder.rename(folder.with_name(f"sha256-{digest}"))), digest)


def another_digest(folder: Path) -> BundleRef:
    return BundleRef(str(folder), "ab" * 32)


def wrong_label_order(folder: Path) -> BundleRef:
    card = json.loads((folder / "card.json").read_text())
    card["labels"][0], card["labels"][1] = card["labels"][1], card["labels"][0]
    return signed(folder, card)


def nan_weights(folder: Path) -> BundleRef:
    model = onnx.load(folder / "model.onnx")
    (weights,) = [tensor for tensor in model.graph.initializer if tensor.name == "weights"]
    spoiled = numpy_helper.to_array(weights).copy()
    spoiled[3, 3] = float("nan")
    weights.CopyFrom(numpy_helper.from_array(spoiled, "weights"))
    onnx.save(model, folder / "model.onnx")
    return rewritten(folder)


def nan_answers(folder: Path) -> BundleRef:
    """Sound weights, and yet no answer to the ramp that warms a version."""
    return bundles.tiny(f"{folder.parent}/spoiled", seed=41, nan_above=0.3)


def truncated(folder: Path) -> BundleRef:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    return BundleRef(str(folder), of_bytes((folder / "card.json").read_bytes()))


def truncated_and_signed(folder: Path) -> BundleRef:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    return rewritten(folder)


@dataclass
class Planted:
    """Leaves a trace where it is unpickled."""

    trace: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def pickle_beside(folder: Path) -> BundleRef:
    (folder / "weights.pkl").write_bytes(pickle.dumps(Planted(folder.parent / "unpickled")))
    return BundleRef(str(folder), of_bytes((folder / "card.json").read_bytes()))


def pickle_signed(folder: Path) -> BundleRef:
    (folder / "weights.pkl").write_bytes(pickle.dumps(Planted(folder.parent / "unpickled")))
    return rewritten(folder)


def pickle_as_graph(folder: Path) -> BundleRef:
    (folder / "model.onnx").write_bytes(pickle.dumps(Planted(folder.parent / "unpickled")))
    return rewritten(folder)


CASES: dict[Callable[[Path], BundleRef], str] = {
    another_digest: "expected " + "ab" * 32,
    wrong_label_order: "not the 14 observations in their order",
    nan_weights: "NaN or infinity in weights",
    nan_answers: "not probabilities",
    truncated: "model.onnx has sha256",
    truncated_and_signed: "model.onnx",
    pickle_beside: "weights.pkl",
    pickle_signed: "weights.pkl",
    pickle_as_graph: "model.onnx is no ONNX file",
}


@pytest.fixture(scope="module")
def served(start: Callable[..., Any], isvc_text: Write) -> Any:
    """A server that has no model yet."""
    return start(isvc_text(None))


@pytest.mark.parametrize("spoil", CASES, ids=lambda spoil: spoil.__name__)
def test_a_broken_bundle_is_never_ready_and_says_why(
    served: Any, isvc_text: Write, folder: Path, tmp_path: Path, spoil: Callable[[Path], BundleRef]
) -> None:
    """Not ready with the reason in health, metadata and log; a request is a 503; nothing was unpickled."""
    whole = bundles.tiny(f"{folder}/whole", seed=41)
    broken = spoil(Path(copytree(whole.uri, tmp_path / Path(whole.uri).name)))
    served.put(isvc_text(("v1", broken)))
    served.wait(lambda client: CASES[spoil] in client.readiness().reason, CASES[spoil])
    for path in ("/v2/health/ready", "/v2/models/chexpert/ready", "/v2/models/chexpert/versions/v1/ready"):
        assert httpx.get(served.http + path).status_code == 503
    answer = httpx.post(f"{served.http}/v2/models/chexpert/infer", json={"inputs": []})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert CASES[spoil] in answer.json()["error"]
    assert CASES[spoil] in served.log.read_text()
    assert not (tmp_path / "unpickled").exists()


def test_a_sound_bundle_is_ready_where_a_broken_one_was(
    start: Callable[..., Any], isvc_text: Write, tmp_path: Path, one: BundleRef
) -> None:
    """The refusals above are of the bundles, not of the server. It has one of its own, which ends with a model."""
    served = start(isvc_text(("v1", truncated(Path(copytree(one.uri, tmp_path / Path(one.uri).name))))))
    served.wait(lambda client: CASES[truncated] in client.readiness().reason, CASES[truncated])
    served.put(isvc_text(("v1", one)))
    served.wait_weights({"v1": 100})
