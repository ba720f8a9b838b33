import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType

import pytest


def layer(size: int) -> bytes:
    """A layer as a tar with one file of so many zeros."""
    return tarred({"file": bytes(size)})


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write(path: Path, layers: list[bytes], *, packed: bool = False) -> bytes:
    """Writes a docker archive and returns its configuration."""
    configuration = json.dumps(
        {
            "os": "linux",
            "architecture": "arm64",
            "rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in layers]},
        }
    ).encode()
    files = {f"{i}.tar": gzip.compress(data) if packed else data for i, data in enumerate(layers)}
    manifest = [{"Config": "c.json", "RepoTags": ["localhost/a:1"], "Layers": list(files)}]
    path.write_bytes(tarred({**files, "c.json": configuration, "manifest.json": json.dumps(manifest).encode()}))
    return configuration


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_tells_id_platform_and_sizes(tmp_path: Path, archive: ModuleType, packed: bool) -> None:
    """Alike for layers kept as tar and as tar.gz."""
    path = tmp_path / "a.tar"
    configuration = write(path, [layer(500_000), layer(20_000)], packed=packed)
    image = archive.measure(path, {})
    assert image.id == f"sha256:{hashlib.sha256(configuration).hexdigest()}"
    assert image.platform == "linux/arm64"
    assert [one.unpacked for one in image.layers] == [len(layer(500_000)), len(layer(20_000))]
    assert all(0 < one.compressed < one.unpacked / 10 for one in image.layers)


def test_a_shared_layer_is_packed_once(tmp_path: Path, archive: ModuleType) -> None:
    """What an earlier archive told is taken over and counted in each image."""
    write(tmp_path / "a.tar", [layer(500_000)])
    write(tmp_path / "b.tar", [layer(500_000), layer(20_000)])
    known: dict[str, object] = {}
    (shared,) = archive.measure(tmp_path / "a.tar", known).layers
    known[next(iter(known))] = marked = archive.LayerSize(1, 2)
    assert shared != marked
    assert archive.measure(tmp_path / "b.tar", known).layers[0] == marked
    assert len(known) == 2


def test_another_file_is_refused(tmp_path: Path, archive: ModuleType) -> None:
    """A tar that is no docker archive names what it lacks."""
    path = tmp_path / "a.tar"
    path.write_bytes(layer(10))
    with pytest.raises(KeyError, match=r"manifest\.json"):
        archive.measure(path, {})


def test_sizes_are_remembered(tmp_path: Path, archive: ModuleType) -> None:
    """What one run packed, the next one knows."""
    sizes = {"sha256:a": archive.LayerSize(1, 2), "sha256:b": archive.LayerSize(3, 4)}
    assert archive.known_layers(tmp_path / "layers.json") == {}
    archive.remember(tmp_path / "layers.json", sizes)
    assert archive.known_layers(tmp_path / "layers.json") == sizes
