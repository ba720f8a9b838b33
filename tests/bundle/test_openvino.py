"""OpenVINO answers the same file as ONNX Runtime does, and says so where it cannot."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
from numpy.typing import NDArray

from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.openvino_engine import OpenVinoEngine
from chexpert.bundle.sessions import OPENVINO, Session, open_graph, open_session
from chexpert.bundle.store import Bundle, fetch
from chexpert.testing.bundles import draw_pixels, tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles")
    return fetch(tiny(str(folder)).uri, None, folder)


def opened(bundle: Bundle, precision: str) -> Session:
    size = bundle.card.preprocess.size
    return open_graph(bundle.model.read_bytes(), size, where="tiny", threads=2, runtime=OPENVINO, precision=precision)


def test_float32_answers_as_onnx_runtime_does(bundle: Bundle) -> None:
    """Scores of a batch differ by no more than 1e-5, and a lone image is answered as in its batch."""
    session = opened(bundle, "float32")
    session.warm()
    pixels = draw_pixels(np.random.default_rng(0), 5, session.size)
    scores = session.run(pixels)
    np.testing.assert_allclose(scores, open_session(bundle).run(pixels), atol=1e-5)
    np.testing.assert_allclose(np.concatenate([session.run(image[None]) for image in pixels]), scores, atol=1e-6)


def test_each_thread_is_a_lane_and_one_run_waits(bundle: Bundle) -> None:
    """OpenVINO gives images that come together a thread each; ONNX Runtime gives one run all of them."""
    assert (opened(bundle, "float32").lanes, open_session(bundle, threads=2).lanes) == (3, 1)


def test_an_answer_outlives_the_next_run(bundle: Bundle) -> None:
    """Runs share their memory with those before; scores that were handed out, and pixels that came in, do not."""
    session = opened(bundle, "float32")
    pixels = draw_pixels(np.random.default_rng(1), 2, session.size)
    pixels.flags.writeable = False  # as a request's bytes
    first = session.run(pixels[:1])
    kept = first.copy()
    second = session.run(pixels[1:])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session.run(pixels), np.concatenate([first, second]))


@dataclass
class Compiled:
    """Notes each run, within which others may come."""

    name: str
    runs: list[str]
    others: list[Callable[[], object]] = field(default_factory=list)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As the graph's."""
        self.runs.append(self.name)
        while self.others:
            self.others.pop()()
        return np.zeros((len(pixels), 14), np.float32)


def test_the_first_image_after_a_crowd_is_taken_for_one_of_it() -> None:
    """Images begun together end together: taken for a lone one, the next would have all threads beside another's."""
    runs: list[str] = []
    alone = Compiled("alone", runs)
    engine = OpenVinoEngine(alone, Compiled("together", runs), Lock())  # type: ignore[arg-type]
    one = np.zeros((1, 1, 8, 8), np.uint8)
    engine.run(one)
    alone.others.append(lambda: engine.run(one))
    for _ in range(3):
        engine.run(one)
    assert runs == ["alone", "alone", "together", "together", "alone"]
    engine.run(np.concatenate([one, one]))
    engine.run(one)
    assert runs[5:] == ["together", "alone"]  # one caller's two images are no crowd


def test_an_unknown_precision_is_refused(bundle: Bundle) -> None:
    """A card that asks for a precision nobody computes in is broken, and the error names those that are there."""
    with pytest.raises(BrokenBundle, match="float32, float16, bfloat16, int8, int8-bfloat16, not float8"):
        opened(bundle, "float8")


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    """Bytes that are no ONNX file end as a broken bundle, as with ONNX Runtime."""
    with pytest.raises(BrokenBundle, match=r"model\.onnx"):
        open_graph(b"\x00garbage", 64, where=str(tmp_path), runtime=OPENVINO)
