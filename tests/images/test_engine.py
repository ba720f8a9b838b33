import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FAKE = """\
#!/bin/sh
echo "$@" >>"$0.log"
case "$*" in
  *RepoDigests*) echo '["other/a@sha256:1", "r/a@sha256:2"]' ;;
  *--digestfile*) echo sha256:3 >"$5" ;;
  *) exit "${FAIL:-0}" ;;
esac
"""


@pytest.fixture(params=["buildah", "podman", "docker"])
def fake(request: pytest.FixtureRequest, tmp_path: Path, engine: ModuleType) -> Any:
    """An engine that writes down what it is told; what the real ones do with it, the test below sees."""
    program = tmp_path / request.param
    program.write_text(FAKE)
    program.chmod(0o755)
    return engine.Engine((str(program), "--own"))


def told(fake: Any) -> str:
    return Path(f"{fake.command[0]}.log").read_text()


def test_an_engine_is_told_to_build_one_target(fake: Any) -> None:
    """Its own options first, then further ones; buildah keeps layers only if told."""
    fake.build(Path("context"), Path("Dockerfile"), "web", "localhost/a:1", ["--further"])
    assert told(fake).startswith("--own build ")
    assert told(fake).endswith("--further --file Dockerfile --target web --tag localhost/a:1 context\n")
    assert ("--layers" in told(fake)) == (fake.kind == "buildah")


def test_an_archive_replaces_an_earlier_one(fake: Any, tmp_path: Path) -> None:
    """An engine may refuse to write into a file that is there."""
    archive = tmp_path / "a.tar"
    archive.write_text("old")
    fake.save("localhost/a:1", archive)
    assert not archive.exists()
    assert str(archive) in told(fake)


def test_a_push_tells_the_manifests_digest(fake: Any) -> None:
    """Of this repository, where the image was pushed to others too."""
    assert fake.push("r/a:1") == ("sha256:2" if fake.kind == "docker" else "sha256:3")


def test_an_engines_failure_is_not_swallowed(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code comes with the command."""
    monkeypatch.setenv("FAIL", "7")
    with pytest.raises(subprocess.CalledProcessError) as raised:
        fake.save("localhost/a:1", Path("nowhere.tar"))
    assert raised.value.returncode == 7


def test_the_engine_named_goes_before_those_on_path(tmp_path: Path, engine: ModuleType) -> None:
    """With its options; else the first of the three that is there."""
    for name in ("podman", "docker"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert engine.choose({"PATH": str(tmp_path)}).command == ("podman",)
    named = {"PATH": str(tmp_path), "IMAGE_ENGINE": "/opt/buildah --root 'a b'"}
    assert engine.choose(named).command == ("/opt/buildah", "--root", "a b")
    assert engine.choose(named).kind == "buildah"
    with pytest.raises(engine.EngineMissing):
        engine.choose({"PATH": ""})


def test_a_real_engine_builds_saves_and_is_measured(tmp_path: Path, engine: ModuleType, archive: ModuleType) -> None:
    """From nothing, in a storage of its own, with no network and no privilege beyond the user's."""
    if shutil.which("buildah") is None or os.geteuid() != 0:
        pytest.skip("needs buildah, as root: an engine's storage needs more set up for others")
    storage = ["--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    real = engine.Engine(("buildah", *storage))
    (tmp_path / "context").mkdir()
    (tmp_path / "context/file").write_bytes(bytes(100_000))
    (tmp_path / "Dockerfile").write_text("FROM scratch AS one\nCOPY file /\nUSER 10001:10001\nFROM scratch AS two\n")
    real.build(tmp_path / "context", tmp_path / "Dockerfile", "one", "localhost/test:1", ["--quiet"])
    real.save("localhost/test:1", tmp_path / "a.tar")
    (layer,) = archive.measure(tmp_path / "a.tar", {}).layers
    assert layer.unpacked > 100_000 > layer.compressed
