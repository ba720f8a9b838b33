"""Shards made one by one, by processes that share nothing but the manifest, are those of one process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards, build, build_part, count, join
from chexpert.imaging.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=16)
CAPACITY = 3

Images = Callable[..., Manifest]


def parts(manifest: Manifest, target: Path, numbers: list[int]) -> None:
    for number in numbers:
        build_part(manifest, number, str(target), SPEC, workers=1, capacity=CAPACITY)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def manifest(image_manifest: Images) -> Manifest:
    """Eight images, one of which stands twice and one of which cannot be read."""
    whole = image_manifest(8)
    Path(whole.column("image_path")[4]).write_bytes(b"this is not an image")
    return whole.select([*range(8), 2])


def test_parts_in_any_order_are_the_whole_byte_for_byte(manifest: Manifest, tmp_path: Path) -> None:
    """Every file is the same, and so are digest, kept rows and refusals."""
    kept, shards, refused = build(manifest, str(tmp_path / "whole"), SPEC, workers=1, capacity=CAPACITY)
    assert count(manifest, capacity=CAPACITY) == 3
    parts(manifest, tmp_path / "parts", [2, 0, 1])
    joined = join(manifest, str(tmp_path / "parts"), SPEC, capacity=CAPACITY)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert (joined.digest, joined.manifest.digest, joined.refusals) == (shards.digest, kept.digest, refused)
    assert len(refused) == 1
    Shards.open(joined.uri).verify()


def test_a_part_is_made_once(manifest: Manifest, tmp_path: Path) -> None:
    """Asked again, as after a kill elsewhere, a complete shard is left alone."""
    parts(manifest, tmp_path / "parts", [1])
    before = (tmp_path / "parts" / "shard-00001.npy").stat().st_mtime_ns
    parts(manifest, tmp_path / "parts", [1])
    assert (tmp_path / "parts" / "shard-00001.npy").stat().st_mtime_ns == before


def test_a_missing_part_is_named(manifest: Manifest, tmp_path: Path) -> None:
    """An index over less than everything is never written."""
    parts(manifest, tmp_path / "parts", [0, 2])
    with pytest.raises(UnreadableData, match=r"shard-00001\.npy is missing"):
        join(manifest, str(tmp_path / "parts"), SPEC, capacity=CAPACITY)
    assert not (tmp_path / "parts" / "shards.json").exists()


def test_a_part_of_other_images_is_refused(manifest: Manifest, image_manifest: Images, tmp_path: Path) -> None:
    """What another manifest left at the same place is not taken for ours."""
    parts(manifest, tmp_path / "parts", [0, 1, 2])
    with pytest.raises(UnreadableData, match="holds other images"):
        join(image_manifest(8).select([3, 0, 1, 2, 4, 5, 6, 7]), str(tmp_path / "parts"), SPEC, capacity=CAPACITY)


def test_there_is_no_part_beyond_the_last(manifest: Manifest, tmp_path: Path) -> None:
    """A number that no image has is an error, not an empty shard."""
    with pytest.raises(IndexError, match="there is no shard 3: 8 images make 3 of 3"):
        parts(manifest, tmp_path, [3])


def test_parts_of_an_object_store(manifest: Manifest) -> None:
    """Any store takes them."""
    target = "memory://shard-parts"
    for number in range(3):
        build_part(manifest, number, target, SPEC, workers=1, capacity=CAPACITY)
    joined = join(manifest, target, SPEC, capacity=CAPACITY)
    assert len(Shards.open(joined.uri)) == 7
