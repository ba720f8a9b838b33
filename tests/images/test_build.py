import subprocess
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

MB = 1_000_000


@pytest.fixture
def checkout(tmp_path: Path, build: ModuleType) -> Path:
    """A small checkout with everything that goes in, committed and tagged as version 1.2.3."""
    for name in build.INPUTS:
        file = tmp_path / name / "a.py" if name in {"src", "images/installer"} else tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('[project]\nversion = "1.2.3"\n' if name == "pyproject.toml" else name)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "a")
    git(tmp_path, "tag", "v1.2.3")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def test_the_same_content_has_the_same_tag(checkout: Path, build: ModuleType) -> None:
    """Wherever it lies, and whatever lies beside it."""
    first = build.tag(checkout, {})
    assert first.startswith("1.2.3-")
    (checkout / "notes.md").write_text("not in an image")
    (checkout / "src/__pycache__").mkdir()
    (checkout / "src/__pycache__/a.pyc").write_text("compiled")
    assert build.tag(checkout, {}) == first
    with build.copy(checkout) as elsewhere:
        assert build.tag(elsewhere, {}) == first


def test_other_content_has_another_tag(checkout: Path, build: ModuleType) -> None:
    """Another text, another name, another base image, another torch."""
    tags = {
        build.tag(checkout, {}),
        build.tag(checkout, {"BASE": "x/y:1"}),
        build.tag(checkout, {"TORCH_BACKEND": "cu130"}),
    }
    (checkout / "src/a.py").write_text("changed")
    tags.add(build.tag(checkout, {}))
    (checkout / "src/a.py").rename(checkout / "src/b.py")
    tags.add(build.tag(checkout, {}))
    assert len(tags) == 5


def test_a_tag_that_is_told_stands(checkout: Path, build: ModuleType) -> None:
    """IMAGE_TAG goes before everything."""
    assert build.tag(checkout, {"IMAGE_TAG": "mine"}, released="1.2.3") == "mine"


def test_a_release_has_its_version_as_tag(checkout: Path, build: ModuleType) -> None:
    """At the commit that carries the version's git tag, for the default images alone."""
    assert build.released(checkout) == "1.2.3"
    assert build.tag(checkout, {}, released="1.2.3") == "1.2.3"
    assert build.tag(checkout, {"TORCH_BACKEND": "cu130"}, released="1.2.3").startswith("1.2.3-")


def test_a_changed_or_untagged_tree_is_no_release(checkout: Path, build: ModuleType) -> None:
    """One file that goes in and differs, or a commit without the tag."""
    (checkout / "README.md").write_text("changed")
    assert build.released(checkout) == ""
    git(checkout, "tag", "--delete", "v1.2.3")
    git(checkout, "checkout", "--quiet", "README.md")
    assert build.released(checkout) == ""


def test_the_copy_holds_what_goes_in_alone(checkout: Path, build: ModuleType) -> None:
    """No other file of the checkout, and no compiled one, reaches the engine."""
    (checkout / "secret").write_text("x")
    with build.copy(checkout) as folder:
        held = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert held == {"images/installer/a.py", "src/a.py"} | (set(build.INPUTS) - {"src", "images/installer"})


def test_options_carry_arguments_labels_and_what_was_added(build: ModuleType) -> None:
    """Only arguments that are set are passed, so that the Dockerfile's defaults stand."""
    options = build.build_options(
        "serve", "1", {"BASE": "", "TORCH_BACKEND": "cpu", "IMAGE_BUILD_ARGS": "--volume 'a b:c'"}
    )
    assert options[0] == "--build-arg=TORCH_BACKEND=cpu"
    assert "--label=org.opencontainers.image.version=1" in options
    assert f"--label=org.opencontainers.image.base.name={build.DEFAULTS['BASE']}" in options
    assert options[-2:] == ["--volume", "a b:c"]


@pytest.fixture
def image(build: ModuleType) -> object:
    return build.Built("chexpert/serve", "1", "sha256:" + "a" * 64, "linux/amd64", 300 * MB, 800 * MB)


def test_digests_are_yaml_and_read_back(tmp_path: Path, build: ModuleType, image: object) -> None:
    """What is written is what is read, by ourselves and by any YAML reader; an empty digest is left out."""
    path = tmp_path / "digests.yaml"
    assert build.read(path) == {}
    build.write(path, {"chexpert/serve": image})
    assert build.read(path) == {"chexpert/serve": image}
    (entry,) = YAML(typ="safe").load(path)
    assert (entry["name"], entry["compressed_bytes"]) == ("chexpert/serve", 300 * MB)
    assert "digest" not in entry


def test_the_recorded_digests_are_well_formed(root: Path, build: ModuleType) -> None:
    """Each image once, with a fixed tag and its configuration's digest, within its limit, without a registry."""
    path = root / "images/digests.yaml"
    if not path.exists():
        pytest.skip("no image was built here, so none is recorded")
    entries = YAML(typ="safe").load(path)
    assert [entry["name"] for entry in entries] == sorted({f"chexpert/{name}" for name in build.IMAGES})
    for entry in entries:
        assert entry["tag"] not in {"", "latest"}
        assert all(len(entry[key]) == 71 for key in ("id", "digest") if key in entry)
        assert entry["platform"].startswith("linux/")
        assert 0 < entry["compressed_bytes"] < entry["unpacked_bytes"]
    assert build.too_large(build.read(path).values()) == []


def test_the_server_may_not_grow_beyond_its_limit(build: ModuleType, image: object) -> None:
    """350 MB compressed pass and one byte more does not; the other images have no limit."""
    sizes = [350 * MB, 350 * MB + 1]
    assert [len(build.too_large([replace(image, compressed_bytes=size)])) for size in sizes] == [0, 1]
    assert build.too_large([replace(image, name="chexpert/tools", compressed_bytes=9000 * MB)]) == []


def test_the_table_names_both_sizes(build: ModuleType, image: object) -> None:
    """One line an image, under a heading."""
    heading, line = build.table([image]).splitlines()
    assert heading.split() == ["image", "tag", "compressed", "MB", "unpacked", "MB"]
    assert line.split() == ["chexpert/serve", "1", "300", "800"]


def test_an_unknown_image_is_refused(build: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names those there are."""
    with pytest.raises(SystemExit):
        build.main(["server"], {})
    assert "no image server; there are serve, web, train, tools" in capsys.readouterr().err


def test_without_an_engine_the_message_names_those_that_would_do(
    build: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback: what to install, and what to set."""
    assert build.main(["serve"], {"PATH": ""}) == 1
    assert "none of buildah, podman, docker is on PATH" in capsys.readouterr().err
