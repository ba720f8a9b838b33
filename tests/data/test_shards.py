import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chexpert.data import folder, sources
from chexpert.data.errors import MissingPixels, UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.pixels import render
from chexpert.data.shards import Shards, build
from chexpert.imaging.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=16)
SHARED = Path(__file__).resolve().parents[3] / "shared"

Images = Callable[..., Manifest]


def truth(manifest: Manifest) -> np.ndarray:
    pairs = zip(manifest.column("image_path"), manifest.column("sha256"), strict=True)
    return np.stack([render(path, digest, SPEC) for path, digest in pairs])[:, None]


@pytest.mark.parametrize("capacity", [3, 4, 100])
def test_pixels_are_those_of_the_one_preprocessing(image_manifest: Images, tmp_path: Path, capacity: int) -> None:
    """Whatever the shard size, `take` gives what rendering each image gives, in the order asked for."""
    manifest = image_manifest(8)
    kept, shards, refused = build(manifest, str(tmp_path / "shards"), SPEC, capacity=capacity)
    assert (len(kept), len(shards), refused) == (8, 8, ())
    order = np.array([7, 0, 3, 3, 5])
    rows = shards.find(kept.column("sha256")[order])
    np.testing.assert_array_equal(shards.take(rows), truth(manifest)[order])
    assert shards.take([]).shape == (0, 1, 16, 16)
    shards.verify()


def test_the_same_image_is_rendered_once(image_manifest: Images, tmp_path: Path) -> None:
    """Two rows of one checksum share their pixels; both stay in the manifest."""
    manifest = image_manifest(3)
    kept, shards, _ = build(manifest.select([0, 1, 0, 2, 0]), str(tmp_path / "shards"), SPEC)
    assert (len(kept), len(shards)) == (5, 3)
    rows = shards.find(kept.column("sha256"))
    assert rows[0] == rows[2] == rows[4]


def bad_files(root: Path) -> dict[str, bytes]:
    good = root / "good.png"
    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(good)
    colour = root / "colour.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)).save(colour)
    clear = root / "clear.png"
    Image.fromarray(np.zeros((30, 30, 4), np.uint8)).save(clear)
    return {
        "truncated.png": good.read_bytes()[:-60],
        "empty.jpg": b"",
        "huge.png": good.read_bytes()[:16] + (70_000).to_bytes(4) * 2 + good.read_bytes()[24:],
        "text.jpg": b"this is not an image",
        "colour.png": colour.read_bytes(),
        "clear.png": clear.read_bytes(),
        "good.png": good.read_bytes(),
    }


def test_bad_files_are_refused_one_line_each_and_the_run_goes_on(tmp_path: Path) -> None:
    """Every fault is one refusal with its own reason; the good file and a real 16-bit one are in the shards."""
    files = bad_files(tmp_path)
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 40).save(tmp_path / "deep.png")
    files["deep.png"] = (tmp_path / "deep.png").read_bytes()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    rows = {"image_path": [str(tmp_path / n) for n in files], "sha256": [sha256(d).hexdigest() for d in files.values()]}
    gone = Manifest.of({"image_path": [str(tmp_path / "gone.png")], "study": "s9"}, 1)
    kept, shards, refused = build(Manifest.of(rows, len(files)).joined(gone), str(tmp_path / "shards"), SPEC)
    reasons = {Path(refusal.image_path).name: refusal.reason for refusal in refused}
    assert [Path(path).name for path in kept.column("image_path")] == ["good.png", "deep.png"]
    assert len(shards) == 2
    expected = {
        "truncated.png": "PNG of",
        "empty.jpg": "empty: 0 bytes",
        "huge.png": "header says 70000x70000",
        "text.jpg": "neither PNG, JPEG nor DICOM",
        "colour.png": "colour",
        "clear.png": "transparent",
        "gone.png": "no such file",
    }
    assert reasons.keys() == expected.keys()
    assert all(expected[name] in reason for name, reason in reasons.items())
    assert all("\n" not in str(refusal) for refusal in refused)
    assert not shards.contains([rows["sha256"][0]]).any()


def test_a_file_that_changed_is_refused(image_manifest: Images, tmp_path: Path) -> None:
    """Pixels always belong to the checksum under which they are found."""
    manifest = image_manifest(2)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(manifest.column("image_path")[1])
    _, shards, (refusal,) = build(manifest, str(tmp_path / "shards"), SPEC)
    assert "changed since the manifest" in refusal.reason
    with pytest.raises(MissingPixels, match="1 images have no pixels here"):
        shards.find(manifest.column("sha256"))
    with pytest.raises(IndexError, match="rows without pixels"):
        shards.take([1])


def test_complete_shards_are_kept_and_changed_ones_written_again(image_manifest: Images, tmp_path: Path) -> None:
    """A second run renders nothing; another size, a damaged file or another image renders only what it must."""
    manifest, target = image_manifest(6), tmp_path / "shards"
    build(manifest, str(target), SPEC, capacity=2)
    times = {path.name: path.stat().st_mtime_ns for path in target.glob("*.npy")}
    (target / "shard-00001.npy").write_bytes((target / "shard-00001.npy").read_bytes()[:-1] + b"?")
    _, shards, _ = build(manifest, str(target), SPEC, capacity=2)
    changed = [name for name, then in times.items() if (target / name).stat().st_mtime_ns != then]
    assert changed == ["shard-00001.npy"]
    np.testing.assert_array_equal(shards.take(shards.find(manifest.column("sha256"))), truth(manifest))
    _, larger, _ = build(manifest, str(target), PreprocessSpec(size=20), capacity=2)
    assert larger.size == 20


def test_known_pixels_are_copied(image_manifest: Images, tmp_path: Path) -> None:
    """An increment renders its new images only: the files of the known ones may be gone."""
    whole = image_manifest(5)
    expected = truth(whole)
    _, first, _ = build(whole.select([0, 2, 4]), str(tmp_path / "first"), SPEC)
    for row in (0, 2, 4):
        Path(whole.column("image_path")[row]).unlink()
    kept, second, refused = build(whole, str(tmp_path / "second"), SPEC, reuse=first)
    assert (len(kept), refused) == (5, ())
    np.testing.assert_array_equal(second.take(second.find(whole.column("sha256"))), expected)


def test_progress_counts_every_image(image_manifest: Images, tmp_path: Path) -> None:
    """Done never falls and ends at the number of distinct images, on a resumed run too."""
    manifest = image_manifest(5)
    for _ in range(2):
        seen: list[tuple[int, int]] = []
        build(manifest, str(tmp_path / "shards"), SPEC, capacity=2, progress=lambda *at, to=seen: to.append(at))
        assert seen[-1] == (5, 5)
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_shards_live_elsewhere_too(image_manifest: Images, tmp_path: Path) -> None:
    """An object store holds the same files; they are copied into a cache once, and survive pickling."""
    manifest = image_manifest(5)
    uri = f"memory://{tmp_path.name}/shards"
    _, remote, _ = build(manifest, uri, SPEC, capacity=2)
    _, local, _ = build(manifest, str(tmp_path / "shards"), SPEC, capacity=2)
    assert remote.digest == local.digest
    opened = Shards.open(uri, cache=tmp_path / "cache")
    again = pickle.loads(pickle.dumps(opened))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.take(again.find(manifest.column("sha256"))), truth(manifest))


def test_broken_folders_are_refused(image_manifest: Images, tmp_path: Path) -> None:
    """No index, a changed one, one of something else, a missing shard, a changed shard: each says which."""
    with pytest.raises(UnreadableData, match=r"shards.json: there is none"):
        Shards.open(str(tmp_path / "none"))
    target = tmp_path / "shards"
    _, shards, _ = build(image_manifest(4), str(target), SPEC, capacity=2)
    pixels = target / "shard-00001.npy"
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"?")
    with pytest.raises(UnreadableData, match=r"shard-00001.npy: its digest"):
        shards.verify()
    (target / "shard-00000.json").unlink()
    with pytest.raises(UnreadableData, match="incomplete"):
        Shards.open(str(target))
    index = target / "shards.json"
    index.write_text(index.read_text().replace('"size": 16', '"size": 32'))
    with pytest.raises(UnreadableData, match="its digest is"):
        Shards.open(str(target))
    for other in ('{"uri": "elsewhere"}', "[]"):
        index.write_text(other)
        with pytest.raises(UnreadableData, match=r"shards.json: no index of shards"):
            Shards.open(str(target))


BUILD = """
import sys
from chexpert.data.manifest import Manifest
from chexpert.data.shards import build
from chexpert.imaging.preprocess import PreprocessSpec
if __name__ == "__main__":
    build(Manifest.read(sys.argv[1]), sys.argv[2], PreprocessSpec(size=16), workers=int(sys.argv[3]), capacity=20)
"""


def test_a_killed_run_goes_on_where_it_was(image_manifest: Images, tmp_path: Path) -> None:
    """SIGKILL amid the ETL leaves only complete shards; the next run keeps them and ends with the same digest."""
    manifest = image_manifest(30)
    large = []
    for n in range(100):  # big enough that the run lasts
        path = tmp_path / "large" / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((500, 500), n % 50 + 1).save(path, compress_level=1)
        large.append(path)
    columns = {"image_path": [str(p) for p in large], "sha256": [sha256(p.read_bytes()).hexdigest() for p in large]}
    manifest = manifest.joined(Manifest.of(columns, len(large)))
    manifest.write(str(tmp_path / "m.parquet"))
    (tmp_path / "run.py").write_text(BUILD)
    target = tmp_path / "shards"
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "m.parquet"), str(target), "1"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        while not list(target.glob("shard-00001.json")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (target / "shards.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in target.glob("*.json")}
    assert len(before) >= 2
    _, resumed, _ = build(manifest, str(target), SPEC, capacity=20, workers=1)
    assert all((target / name).stat().st_mtime_ns == then for name, then in before.items())
    _, fresh, _ = build(manifest, str(tmp_path / "fresh"), SPEC, capacity=20, workers=1)
    assert resumed.digest == fresh.digest


def test_processes_give_what_one_gives(image_manifest: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes write the same bytes as one."""
    monkeypatch.setattr("chexpert.data.shard_build._WORTH_STARTING_S", 0.0)
    manifest = image_manifest(70)
    _, two, _ = build(manifest, str(tmp_path / "two"), SPEC, workers=2)
    _, one, _ = build(manifest, str(tmp_path / "one"), SPEC, workers=1)
    assert two.digest == one.digest


@pytest.mark.parametrize("name", ["nih1000", "cxr"])
def test_real_images_all_pass(tmp_path: Path, name: str) -> None:
    """Every real image beside the checkout is read: none is refused, none is black."""
    if not (SHARED / name).exists():
        pytest.skip(f"no folder ../shared/{name} beside the checkout: the real images are not read here")
    manifest = folder.read(SHARED / name) if name == "cxr" else sources.read(SHARED / name)[0]
    kept, shards, refused = build(manifest, str(tmp_path / "shards"), PreprocessSpec(), workers=1)
    assert refused == ()
    pixels = shards.take(shards.find(kept.column("sha256")))
    assert pixels.reshape(len(pixels), -1).std(axis=1).min() > 20
