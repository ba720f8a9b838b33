from hashlib import sha256
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from PIL import Image

from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.pipeline.images import pixels_of, statistics_of


def test_images_are_read_wherever_they_lie(tmp_path: Path) -> None:
    """The same statistics and pixels from a path and from a URI."""
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)).save(file, "PNG")
    data, uri = file.getvalue(), f"memory://{uuid4().hex}/a.png"
    (tmp_path / "a.png").write_bytes(data)
    fsspec.filesystem("memory").pipe_file(uri, data)
    checksum = sha256(data).hexdigest()
    manifest = Manifest.of({"image_path": [str(tmp_path / "a.png"), uri], "sha256": [checksum] * 2}, 2)
    here, there = statistics_of(manifest, np.arange(2))
    np.testing.assert_array_equal(here, there)
    here, there = pixels_of(manifest, np.arange(2), PreprocessSpec(size=16))
    np.testing.assert_array_equal(here, there)


def test_an_image_that_has_gone_is_named() -> None:
    """URI, and what to do."""
    manifest = Manifest.of({"image_path": ["memory://gone/a.png"], "sha256": ["a" * 64]}, 1)
    with pytest.raises(UnreadableData, match=r"^memory://gone/a.png: stands in the manifest .*ingest again"):
        statistics_of(manifest, np.arange(1))
