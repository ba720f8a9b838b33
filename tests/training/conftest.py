"""Small labelled images on disk, as manifest and shards: a patch's place and brightness say the label."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards, build
from chexpert.domain.digests import of_bytes
from chexpert.domain.observations import OBSERVATIONS
from chexpert.imaging.preprocess import PreprocessSpec

SIZE = 32
COUNTS = {"train": 96, "tune": 40}


def draw_dataset(folder: Path, seed: int = 0) -> tuple[Manifest, Shards]:
    """Images whose observation i is a bright patch in cell i of a 4 x 4 grid."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list] = {name: [] for name in ("image_path", "sha256", "patient", "split", *OBSERVATIONS)}
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    for number, split in enumerate(splits):
        labels = rng.random(len(OBSERVATIONS)) < 0.35
        pixels = rng.integers(40, 120, (SIZE, SIZE))
        for i in np.flatnonzero(labels):
            pixels[8 * (i // 4) : 8 * (i // 4) + 8, 8 * (i % 4) : 8 * (i % 4) + 8] += 110
        file = folder / f"{number}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
        values = [str(file), of_bytes(file.read_bytes()), f"patient{number}", split, *(int(label) for label in labels)]
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    manifest = Manifest.of({**columns, "source": "drawn", "view": "frontal"}, len(splits))
    kept, shards, refused = build(manifest, str(folder / "shards"), PreprocessSpec(size=SIZE), workers=1)
    assert not refused
    return kept, shards


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Shards]:
    return draw_dataset(tmp_path_factory.mktemp("drawn"))
