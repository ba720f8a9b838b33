"""Fetching onnxruntime-web from a registry on loopback."""

import base64
import hashlib
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import pytest

from chexpert.triage import on_device_runtime
from chexpert.triage.on_device_runtime import PAGE_FILES, REGISTRY_VARIABLE, VERSION, RuntimeNotFetched, fetch

Environment = dict[str, str]


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line per request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Environment]:
    """Settings that name a registry on loopback, whose package holds the runtime's files."""
    folder = tmp_path / "registry" / "onnxruntime-web" / "-"
    folder.mkdir(parents=True)
    with tarfile.open(folder / f"onnxruntime-web-{VERSION}.tgz", "w:gz") as archive:
        for name in PAGE_FILES:
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(name)
            archive.addfile(entry, BytesIO(name.encode()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "registry")))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield {REGISTRY_VARIABLE: f"http://127.0.0.1:{server.server_port}/"}
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def pinned(registry: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The same, with the package's own digest as the pinned one."""
    package = next((tmp_path / "registry").rglob("*.tgz")).read_bytes()
    monkeypatch.setattr(on_device_runtime, "INTEGRITY", base64.b64encode(hashlib.sha512(package).digest()).decode())
    return registry


def test_the_registry_of_npms_setting_is_asked_once(pinned: Environment, tmp_path: Path) -> None:
    """The files lie there as in the package; where they lie already no registry is asked."""
    fetch(tmp_path / "got", environment=pinned)
    assert {file.name: file.read_text() for file in (tmp_path / "got").iterdir()} == {name: name for name in PAGE_FILES}
    fetch(tmp_path / "got", environment={REGISTRY_VARIABLE: "http://127.0.0.1:9"})


def test_a_package_of_another_digest_is_not_unpacked(registry: Environment, tmp_path: Path) -> None:
    """Whatever a registry answers, only the pinned bytes are ever served."""
    with pytest.raises(RuntimeNotFetched, match="SHA-512"):
        fetch(tmp_path / "got", environment=registry)
    assert not (tmp_path / "got").exists()


def test_a_file_that_the_package_lacks_is_named(pinned: Environment, tmp_path: Path) -> None:
    """Nothing of another name is put in its place."""
    with pytest.raises(RuntimeNotFetched, match=r"no dist/ort\.other\.mjs"):
        fetch(tmp_path / "got", ("ort.other.mjs",), pinned)


def test_a_registry_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """The host stands in the error, so that a proxy or a mirror is found."""
    with pytest.raises(RuntimeNotFetched, match=r"127\.0\.0\.1"):
        fetch(tmp_path / "got", environment={REGISTRY_VARIABLE: "http://127.0.0.1:9"})
