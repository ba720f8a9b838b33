from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from PIL import Image as Pillow

from chexpert.domain.records import STATISTICS
from chexpert.imaging.decode import decode
from chexpert.imaging.image import Image
from chexpert.imaging.preprocess import InvalidPreprocessSpec, PreprocessSpec, preprocess
from chexpert.imaging.statistics import statistics

images = npst.arrays(np.uint8, st.tuples(st.integers(8, 90), st.integers(8, 90)))


def picture(pixels: NDArray[np.uint8]) -> Image:
    return Image(pixels, pixels.shape[1], pixels.shape[0])


@settings(deadline=None, max_examples=50)
@given(pixels=images, size=st.integers(8, 80))
def test_any_image_becomes_a_square_and_always_the_same(pixels: NDArray[np.uint8], size: int) -> None:
    """Shape and type never depend on the image; two calls agree bit by bit."""
    spec = PreprocessSpec(size=size)
    first = preprocess(picture(pixels), spec)
    assert first.shape == (size, size)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, preprocess(picture(pixels), spec))


def test_aspect_is_kept_and_the_rest_padded_with_the_mean() -> None:
    """A wide image fills the width; above and below stand equal bands of its mean."""
    ramp = np.tile(np.linspace(0, 255, 200).astype(np.uint8), (100, 1))
    result = preprocess(picture(ramp), PreprocessSpec(size=64))
    assert len(np.unique(result[:16])) == 1
    assert result[0, 0] == result[-1, -1] == round(result[16:48].mean())
    assert (np.diff(result[32].astype(int)) >= 0).all()


def test_exposure_does_not_matter(grey: NDArray[np.uint8]) -> None:
    """A darker, flatter film of the same patient gives nearly the same pixels."""
    flat = (40 + grey.astype(float) * 0.4).astype(np.uint8)
    first, second = (preprocess(picture(p), PreprocessSpec()).astype(int) for p in (grey, flat))
    assert np.abs(first - second).max() <= 4


def test_few_extreme_pixels_do_not_set_the_scale(grey: NDArray[np.uint8]) -> None:
    """A marker of 20 white pixels leaves the rest where it was."""
    calm = (grey // 2).copy()
    marked = calm.copy()
    marked[:4, :5] = 255
    first, second = (preprocess(picture(p), PreprocessSpec()).astype(int) for p in (calm, marked))
    assert np.abs(first - second)[20:50].max() <= 4


def test_scaled_decoding_changes_little(grey: NDArray[np.uint8]) -> None:
    """Decoding at 1/8 and preprocessing is what decoding all of it and preprocessing gives, within a few levels."""
    large = Pillow.fromarray(grey).resize((1920, 1536), Pillow.Resampling.BICUBIC)
    stream = BytesIO()
    large.save(stream, "JPEG", quality=92)
    spec = PreprocessSpec(size=64)
    fast, slow = (preprocess(decode(stream.getvalue(), target=t), spec).astype(int) for t in (64, None))
    assert np.abs(fast - slow).mean() < 2


def test_settings_survive_and_their_digest_knows_them() -> None:
    """A digest changes with every setting and with nothing else."""
    spec = PreprocessSpec(size=32, low=1.0)
    assert PreprocessSpec.from_dict(spec.to_dict()) == spec
    assert PreprocessSpec.from_dict(spec.to_dict()).digest == spec.digest
    others = [PreprocessSpec(), PreprocessSpec(size=32), PreprocessSpec(size=32, low=1.0, high=98.0)]
    assert len({spec.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize("values", [{"size": 0}, {"size": 5000}, {"low": 60.0, "high": 40.0}, {"high": 101.0}])
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    """Settings are checked where they are made."""
    with pytest.raises(InvalidPreprocessSpec, match="preprocessing cannot be set up"):
        PreprocessSpec(**values)  # type: ignore[arg-type]


def test_unknown_settings_are_refused() -> None:
    """A card of another version does not lose a setting silently."""
    with pytest.raises(InvalidPreprocessSpec, match="unknown settings gamma"):
        PreprocessSpec.from_dict({**PreprocessSpec().to_dict(), "gamma": 2})


@settings(deadline=None, max_examples=40)
@given(pixels=images)
def test_statistics_agree_with_numpy(pixels: NDArray[np.uint8]) -> None:
    """Five numbers, as NumPy computes them from the pixels."""
    values = dict(zip(STATISTICS, statistics(picture(pixels)), strict=True))
    scaled = pixels / 255.0
    assert values["mean"] == pytest.approx(scaled.mean())
    assert values["std"] == pytest.approx(scaled.std(), abs=1e-9)
    assert values["p5"] == pytest.approx(np.percentile(scaled, 5, method="inverted_cdf"))
    assert values["p95"] == pytest.approx(np.percentile(scaled, 95, method="inverted_cdf"))
    assert values["aspect"] == pixels.shape[1] / pixels.shape[0]
