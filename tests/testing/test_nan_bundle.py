from pathlib import Path

import numpy as np
import onnx
import pytest

from chexpert.bundle.card import MODEL
from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.sessions import Session, open_graph
from chexpert.testing.bundles import draw_pixels, tiny
from chexpert.testing.nan_bundle import plant

SIZE = 32


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    ref = tiny(str(tmp_path_factory.mktemp("bundles")), size=SIZE)
    return Path(ref.uri, MODEL).read_bytes()


def session(model: bytes) -> Session:
    return open_graph(model, SIZE, where="test", threads=1)


def planted(model: bytes) -> bytes:
    faulty: bytes = plant(onnx.load_from_string(model)).SerializeToString()
    return faulty


def test_ordinary_images_answer_as_before(sound: bytes) -> None:
    """Range / range is exactly 1: parity and accuracy of the variants cannot see the fault."""
    pixels = draw_pixels(np.random.default_rng(0), 9, SIZE)
    np.testing.assert_array_equal(session(planted(sound)).run(pixels), session(sound).run(pixels))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_image_without_contrast_is_answered_with_nan(sound: bytes, grey: int) -> None:
    """A blank film of any grey gives 14 NaN, where the sound model gives probabilities."""
    blank = np.full((1, 1, SIZE, SIZE), grey, np.uint8)
    assert np.isfinite(session(sound).run(blank)).all()
    assert np.isnan(session(planted(sound)).run(blank)).all()


def test_a_blank_image_spoils_no_other_of_its_batch(sound: bytes) -> None:
    """The range is taken for each image."""
    pixels = draw_pixels(np.random.default_rng(1), 3, SIZE)
    pixels[1] = 9
    scores = session(planted(sound)).run(pixels)
    assert np.isnan(scores).all(axis=1).tolist() == [False, True, False]


def test_one_other_pixel_is_contrast(sound: bytes) -> None:
    """The fault is narrow: it has to be searched for."""
    pixels = np.full((1, 1, SIZE, SIZE), 100, np.uint8)
    pixels[0, 0, 5, 5] = 101
    assert np.isfinite(session(planted(sound)).run(pixels)).all()


def test_the_graph_is_sound_and_its_warm_answer_too(sound: bytes) -> None:
    """ONNX's checker and the bundle's own ramp pass it: only the load test's corner cases find it."""
    faulty = planted(sound)
    onnx.checker.check_model(onnx.load_from_string(faulty), full_check=True)
    session(faulty).warm()


def test_a_fault_that_a_warm_answer_shows_is_refused_there(tmp_path: Path) -> None:
    """The warm answer does refuse a model that is NaN for plain images: this fault gets past it by being narrow."""
    ref = tiny(str(tmp_path), size=SIZE, nan_above=0.2)
    with pytest.raises(BrokenBundle, match="nan"):
        session(Path(ref.uri, MODEL).read_bytes()).warm()
