from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chexpert.data import sources
from chexpert.data.chexpert_csv import COLUMNS
from chexpert.data.manifest import Manifest
from chexpert.domain.events import LabelEvent
from chexpert.domain.observations import Observation

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def write_image(path: Path, seed: int | list[int], side: int = 24) -> Path:
    """A small grey PNG, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def addresses(manifest: Manifest) -> list[str]:
    return [str(address) for address in manifest.column("image_path")]


def same_elsewhere(here: Path, uri: str) -> Manifest:
    """The manifest from `uri`, seen to say of each image what the folder's says."""
    local, remote = sources.read(here)[0], sources.read(uri)[0]
    assert remote.digest == local.digest
    tails = [Path(address).relative_to(here).as_posix() for address in addresses(local)]
    assert addresses(remote) == [f"{uri}/{tail}" for tail in tails]
    return remote


@pytest.fixture
def image_manifest(tmp_path: Path) -> Callable[..., Manifest]:
    """Builds a manifest over `count` images on disk."""

    def build(count: int, **columns: Any) -> Manifest:
        paths = [write_image(tmp_path / "images" / f"{n}.png", n) for n in range(count)]
        given = {
            "image_path": [str(path) for path in paths],
            "sha256": [sha256(path.read_bytes()).hexdigest() for path in paths],
            "patient": [f"p{n}" for n in range(count)],
            "study": [f"p{n}/study1" for n in range(count)],
            "split": "train",
        }
        return Manifest.of({**given, **columns}, count)

    return build


@pytest.fixture
def chexpert_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CheXpert folder: {table: [row of csv_row]}, with a drawn image for each row."""

    def build(tables: dict[str, Sequence[Sequence[str]]], *, images: bool = True) -> Path:
        root = tmp_path / "CheXpert-v1.0-small"
        root.mkdir()
        for name, rows in tables.items():
            lines = [",".join(COLUMNS), *(",".join(row) for row in rows)]
            (root / f"{name}.csv").write_text("\n".join(lines) + "\n")
            for seed, row in enumerate(rows):
                if images:
                    write_image(root / name / row[0][row[0].index("patient") :], [len(name), seed])
        return root

    return build


@pytest.fixture
def csv_row() -> Callable[..., list[str]]:
    """A row of CheXpert's CSV; labels by observation, spaces as underscores."""

    def build(
        path: str,
        *,
        sex: str = "Male",
        age: str = "60",
        view: str = "Frontal",
        projection: str = "AP",
        **labels: str,
    ) -> list[str]:
        named = {name.replace("_", " "): value for name, value in labels.items()}
        return [path, sex, age, view, projection, *(named.get(str(o), "") for o in Observation)]

    return build


@pytest.fixture
def event() -> Callable[..., LabelEvent]:
    """A signed answer of a reader who opened the image, `number` minutes after noon."""

    def build(number: int, **changes: Any) -> LabelEvent:
        given: dict[str, Any] = {
            "event": f"e{number:04}",
            "time": NOON + timedelta(minutes=number),
            "study": "s1",
            "image_sha256": "a" * 64,
            "image_uri": "images/a",
            "patient": "walk-in",
            "observation": Observation.EDEMA,
            "value": 1,
            "reader": "r1",
            "role": "radiologist",
            "opened": NOON,
            "final": True,
            "version": "v1",
        }
        return LabelEvent(**{**given, **changes})

    return build


@pytest.fixture
def two_tables(chexpert_folder: Callable[..., Path], csv_row: Callable[..., list[str]]) -> Path:
    """Six training and two validation images."""
    train = [csv_row(f"CheXpert-v1.0-small/train/patient0000{n}/study1/view1_frontal.jpg") for n in range(6)]
    valid = [csv_row(f"CheXpert-v1.0-small/valid/patient6454{n}/study1/view1_frontal.jpg") for n in range(2)]
    root = chexpert_folder({"train": train, "valid": valid})
    for seed, path in enumerate(sorted((root / "valid").rglob("*.jpg"))):
        write_image(path, [9, seed])
    return root
