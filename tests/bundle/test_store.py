"""A bundle is written once, and every byte of it is verified when it is read."""

from pathlib import Path

import fsspec
import pytest

from chexpert.bundle.card import CARD, MODEL, REFERENCE
from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.sessions import open_session
from chexpert.bundle.store import BundleRef, fetch, write
from chexpert.domain.digests import of_bytes
from chexpert.testing.bundles import tiny


@pytest.fixture
def ref(tmp_path: Path) -> BundleRef:
    return tiny(str(tmp_path / "bundles"))


def test_a_bundle_is_named_by_the_digest_of_its_card(ref: BundleRef) -> None:
    """The digest is the sha256 of card.json and the last part of the URI."""
    assert ref.uri.endswith(f"/sha256-{ref.digest}")
    assert of_bytes((Path(ref.uri) / CARD).read_bytes()) == ref.digest


def test_writing_twice_changes_nothing(ref: BundleRef, tmp_path: Path) -> None:
    """The same content lands in the same place and is not written again."""
    before = {file: file.stat().st_mtime_ns for file in Path(ref.uri).iterdir()}
    assert tiny(str(tmp_path / "bundles")) == ref
    assert {file: file.stat().st_mtime_ns for file in Path(ref.uri).iterdir()} == before


def test_another_seed_is_another_bundle(ref: BundleRef, tmp_path: Path) -> None:
    """Other weights have another digest, so neither overwrites the other."""
    assert tiny(str(tmp_path / "bundles"), seed=1).digest != ref.digest
    assert fetch(ref.uri, ref.digest, tmp_path / "cache").digest == ref.digest


def test_an_interrupted_write_is_completed_by_the_next(ref: BundleRef, tmp_path: Path) -> None:
    """Without its card a folder is no bundle; writing again makes it whole."""
    (Path(ref.uri) / CARD).unlink()
    (Path(ref.uri) / MODEL).write_bytes(b"half")
    with pytest.raises(BrokenBundle, match=r"no card\.json"):
        fetch(ref.uri, ref.digest, tmp_path / "cache")
    tiny(str(tmp_path / "bundles"))
    assert fetch(ref.uri, ref.digest, tmp_path / "cache").digest == ref.digest


def test_a_local_bundle_is_verified_in_place(ref: BundleRef, tmp_path: Path) -> None:
    """A folder that KServe mounted is read where it lies, whatever its name, and nothing is copied."""
    mounted = tmp_path / "models"
    Path(ref.uri).rename(mounted)
    bundle = fetch(str(mounted), ref.digest, tmp_path / "cache")
    assert bundle.folder == mounted
    assert bundle.digest == ref.digest
    assert not (tmp_path / "cache").exists()


def test_a_remote_bundle_is_cached_by_digest(tmp_path: Path) -> None:
    """A second fetch needs the remote store no more, and an altered copy is refused."""
    remote = tiny("memory://test-cached/bundles")
    folder = fetch(remote.uri, remote.digest, tmp_path / "cache").folder
    assert {file.name for file in folder.iterdir()} == {CARD, MODEL, REFERENCE}
    fsspec.filesystem("memory").rm("/test-cached", recursive=True)
    assert fetch(remote.uri, remote.digest, tmp_path / "cache").folder == folder
    (folder / MODEL).write_bytes(b"altered")
    with pytest.raises(BrokenBundle, match=r"model\.onnx has sha256"):
        fetch(remote.uri, remote.digest, tmp_path / "cache")


def test_nothing_is_left_of_a_refused_download(tmp_path: Path) -> None:
    """A remote bundle whose card was altered is refused and its copy removed."""
    remote = tiny("memory://test-altered/bundles")
    fsspec.filesystem("memory").pipe_file(f"{remote.uri.removeprefix('memory:/')}/{CARD}", b"{}")
    with pytest.raises(BrokenBundle, match="expected"):
        fetch(remote.uri, remote.digest, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_bundle_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    """Local or remote, the refusal names the place."""
    for uri in (str(tmp_path / "nothing"), "memory://test-nothing/here"):
        with pytest.raises(BrokenBundle, match="nothing"):
            fetch(uri, None, tmp_path / "cache")


def test_a_missing_file_is_named(ref: BundleRef, tmp_path: Path) -> None:
    """A file that the card knows must be there."""
    (Path(ref.uri) / REFERENCE).unlink()
    with pytest.raises(BrokenBundle, match=r"lacks reference\.parquet"):
        fetch(ref.uri, ref.digest, tmp_path / "cache")


def test_an_extra_file_is_named(ref: BundleRef, tmp_path: Path) -> None:
    """Nothing may lie there that no digest holds."""
    (Path(ref.uri) / "model.py").write_text("import os")
    with pytest.raises(BrokenBundle, match=r"does not know model\.py"):
        fetch(ref.uri, ref.digest, tmp_path / "cache")


def test_a_graph_that_was_replaced_after_its_fetch_is_not_opened(ref: BundleRef, tmp_path: Path) -> None:
    """What is opened is what the card promises, even if another whole graph took its place in between."""
    bundle = fetch(ref.uri, ref.digest, tmp_path / "cache")
    open_session(bundle).warm()
    other = tiny(str(tmp_path / "bundles"), seed=1)
    bundle.model.write_bytes((Path(other.uri) / MODEL).read_bytes())
    with pytest.raises(BrokenBundle, match=r"model\.onnx has sha256"):
        open_session(bundle)


@pytest.mark.parametrize("name", [MODEL, REFERENCE, CARD])
def test_an_altered_byte_is_refused(ref: BundleRef, tmp_path: Path, name: str) -> None:
    """One flipped bit in any file is found, and the file is named."""
    file = Path(ref.uri) / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BrokenBundle, match=f"{name} has sha256"):
        fetch(ref.uri, ref.digest, tmp_path / "cache")


def test_another_expected_digest_is_refused(ref: BundleRef, tmp_path: Path) -> None:
    """A whole bundle is refused where another one was promised, by its name or under a neutral one."""
    with pytest.raises(BrokenBundle, match="another digest"):
        fetch(ref.uri, "0" * 64, tmp_path / "cache")
    neutral = Path(ref.uri).rename(tmp_path / "models")
    with pytest.raises(BrokenBundle, match="expected 0000"):
        fetch(str(neutral), "0" * 64, tmp_path / "cache")


def test_a_bundle_without_its_reference_is_not_written(ref: BundleRef, tmp_path: Path) -> None:
    """Required files are asked for before anything is written."""
    card = fetch(ref.uri, None, tmp_path).card
    with pytest.raises(BrokenBundle, match=r"files lacks reference\.parquet"):
        write(str(tmp_path / "elsewhere"), card, {MODEL: b"x"})
    assert not (tmp_path / "elsewhere").exists()
