"""Objects on a folder; tests/stores has the same on S3."""

from pathlib import Path

import pytest

from chexpert.data import objects


def _write_half(uri: str) -> None:
    with objects.staged(uri) as file:
        file.write_bytes(b"%d" % (1 // 0))


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """Neither half an object nor a temporary file."""
    uri = str(tmp_path / "a" / "1")
    objects.write_bytes(uri, b"old")
    with pytest.raises(ZeroDivisionError):
        _write_half(uri)
    assert objects.read_bytes(uri) == b"old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["1"]


def test_objects_are_found_by_ending(tmp_path: Path) -> None:
    """Below a folder at any depth, sorted, without what is still being written; nothing where there is no folder."""
    for name in ("b/2.json", "1.json", "b/.3.json", "b/4.txt"):
        objects.write_bytes(str(tmp_path / name), b"")
    assert objects.find(str(tmp_path), ".json") == [f"file://{tmp_path}/{name}" for name in ("1.json", "b/2.json")]
    assert objects.find(str(tmp_path / "none"), ".json") == []


def test_a_download_is_whole_or_absent(tmp_path: Path) -> None:
    """Under its name the file is complete; of an object that is not there nothing appears."""
    objects.write_bytes(str(tmp_path / "there"), b"1")
    objects.download(str(tmp_path / "there"), tmp_path / "deep" / "here")
    assert (tmp_path / "deep" / "here").read_bytes() == b"1"
    with pytest.raises(FileNotFoundError):
        objects.download(str(tmp_path / "none"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_root_is_reachable_if_objects_can_be_put_there(tmp_path: Path) -> None:
    """A folder that is new is made; a file in its place is told."""
    assert objects.is_reachable(str(tmp_path / "new"))
    (tmp_path / "file").write_bytes(b"")
    assert not objects.is_reachable(str(tmp_path / "file"))
