"""Rules that hold over images/Dockerfile and the Dockerfiles of the cluster tests."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

Instruction = tuple[str, str]
USER = "10001:10001"
CACHE = "target=/var/cache/uv"


@dataclass
class Stage:
    """One stage of a Dockerfile."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, *words: str) -> list[str]:
        """What follows these words, in order."""
        return [rest for word, rest in self.instructions if word in words]


def stages(text: str) -> dict[str, Stage]:
    """Stages by name, in the order of the file; what stands before the first is stage ""."""
    found = {"": Stage("", "")}
    code = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, code.splitlines())):
        word, _, rest = line.partition(" ")
        rest = re.sub(r"\s+", " ", rest)
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name or "image"] = Stage(name or "image", base)
        else:
            list(found.values())[-1].instructions.append((word, rest))
    return found


def ancestors(found: dict[str, Stage], name: str) -> Iterator[Stage]:
    """The stage and those it stands on, down to the base image."""
    while name in found:
        yield found[name]
        name = found[name].base


def settled(found: dict[str, Stage], name: str, word: str) -> str:
    """What the last instruction of this kind says, here or in a stage below; empty without one."""
    return next((stage.of(word)[-1] for stage in ancestors(found, name) if stage.of(word)), "")


def problems(text: str, targets: list[str]) -> list[str]:
    """What is wrong with a Dockerfile, in words."""
    found, wrong = stages(text), []
    arguments = dict(argument.split("=", 1) for argument in found[""].of("ARG"))
    for stage in found.values():
        base = re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match[1], ""), stage.base)
        if stage.name and base not in found and not re.fullmatch(r"[\w.-]+\.[\w.-]+/\S+:(?!latest$)[\w.-]+", base):
            wrong.append(f"{stage.name}: base {base!r} is not a full name with a fixed tag")
        wrong += [f"{stage.name}: {word}" for word, _ in stage.instructions if word in {"ADD", "ENTRYPOINT"}]
    for name in targets:
        if settled(found, name, "USER") != USER:
            wrong.append(f"{name}: runs as {settled(found, name, 'USER') or 'root'}")
        if not settled(found, name, "CMD").startswith("["):
            wrong.append(f"{name}: no CMD as a list")
        for run in (run for stage in ancestors(found, name) for run in stage.of("RUN")):
            if "apt-get install" in run and "rm -rf /var/lib/apt/lists/*" not in run:
                wrong.append(f"{name}: package lists stay")
            if "install.sh" in run and CACHE not in run:
                wrong.append(f"{name}: uv's cache stays")
            if re.search(r"\bpip install\b(?!.*--no-cache-dir)", run):
                wrong.append(f"{name}: pip's cache stays")
    return wrong


@pytest.fixture(scope="module")
def dockerfile(root: Path) -> str:
    return (root / "images/Dockerfile").read_text()


@pytest.fixture(scope="module")
def found(dockerfile: str) -> dict[str, Stage]:
    return stages(dockerfile)


def test_the_images_keep_the_rules(dockerfile: str, build: ModuleType) -> None:
    """A full name with a fixed tag below, the numeric user, a list as command, no cache, nothing fetched by ADD."""
    assert problems(dockerfile, list(build.IMAGES)) == []


def test_the_cluster_tests_images_keep_the_rules(root: Path) -> None:
    """Pod Security's restricted profile holds for them too."""
    found = {path: path.read_text() for path in (root / "tests/cluster/images").glob("*/Dockerfile")}
    assert len(found) >= 2
    assert {path: wrong for path, text in found.items() if (wrong := problems(text, ["image"]))} == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("FROM python:3.11", "not a full name"),
        ("FROM docker.io/library/python:latest", "not a full name"),
        ("FROM docker.io/library/python", "not a full name"),
        ("ADD https://example.org/x /x", "ADD"),
        ('ENTRYPOINT ["sh"]', "ENTRYPOINT"),
        ("USER root", "runs as root"),
        ("USER 10001", "runs as 10001"),
        ("CMD sh", "no CMD as a list"),
        ("RUN apt-get install -y git", "package lists stay"),
        ("RUN pip install \\\n  uv", "pip's cache stays"),
        ("RUN /installer/install.sh --requirement x", "uv's cache stays"),
    ],
)
def test_each_rule_refuses(line: str, said: str) -> None:
    """One bad line in an otherwise good Dockerfile is named."""
    good = f'FROM docker.io/library/python:3.11-slim-bookworm\nUSER {USER}\nCMD ["sh"]\n'
    assert problems(good, ["image"]) == []
    text = good.replace(good.splitlines()[0], line) if line.startswith("FROM") else f"{good}{line}\n"
    assert said in " ".join(problems(text, ["image"]))


def test_a_change_of_the_source_rebuilds_one_layer(found: dict[str, Stage], build: ModuleType) -> None:
    """Dependencies lie below the package, which is the last thing in each image."""
    for name in build.IMAGES:
        layers = [i for stage in reversed(list(ancestors(found, name))) for i in stage.instructions]
        layers = [(word, rest) for word, rest in layers if word in {"RUN", "COPY"}]
        assert layers[-1] == ("COPY", "--from=package /opt/chexpert /opt/chexpert")
        assert any("install.sh --requirement" in rest for _, rest in layers[:-1])
        assert not any(rest.startswith(("src", "--from=package")) for _, rest in layers[:-1])


def test_tools_stands_on_trains_layers(found: dict[str, Stage]) -> None:
    """A node that has both keeps torch once."""
    train, tools = (list(ancestors(found, name)) for name in ("train", "tools"))
    assert train[1:] == tools[1:]


def test_every_extra_has_an_image(root: Path, found: dict[str, Stage], build: ModuleType) -> None:
    """What pyproject.toml offers as an extra some image holds, and each image has its list of pins."""
    lines = re.findall(r"^pin (\w+) (.+)$", (root / "images/installer/pin.sh").read_text(), re.MULTILINE)
    pinned = {image: set(extras.split()) for image, extras in lines}
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set().union(*pinned.values()) == set(extras)
    assert set(pinned) == set(build.IMAGES)
    for name in build.IMAGES:
        copies = " ".join(copy for stage in ancestors(found, name) for copy in stage.of("COPY"))
        assert f"--from=pins /pins/{name}.txt" in copies


def test_git_is_in_tools_alone_and_a_compiler_in_none(found: dict[str, Stage], build: ModuleType) -> None:
    """Steps push to git; nothing else does, and nothing is compiled where it runs."""

    def installs(name: str, package: str) -> bool:
        runs = [run for stage in ancestors(found, name) for run in stage.of("RUN")]
        return any(re.search(rf"apt-get install[^&]* {package}\b", run) for run in runs)

    assert [name for name in build.IMAGES if installs(name, "git")] == ["tools"]
    assert [name for name in build.IMAGES if installs(name, "gcc")] == []
    assert installs("cuda-stubs", "gcc")


def test_nothing_reports_to_its_makers(found: dict[str, Stage], build: ModuleType) -> None:
    """ONNX Runtime, MLflow and Evidently do by default; in a hospital they must not."""
    holders = {
        "ORT_DISABLE_TELEMETRY=1": {"serve", "tools"},
        "MLFLOW_DISABLE_TELEMETRY=true": {"train", "tools"},
        "DO_NOT_TRACK=1": {"train", "tools"},
    }
    for setting, images in holders.items():
        assert {name for name in build.IMAGES if setting in settled(found, name, "ENV").split()} == images


def test_an_index_with_a_password_reaches_no_image(found: dict[str, Stage], build: ModuleType) -> None:
    """A build argument stands in the history of the stage that uses it, so no image stands on such a stage."""
    for name in build.IMAGES:
        assert not any("INDEX" in argument for stage in ancestors(found, name) for argument in stage.of("ARG"))
    assert any("PIP_INDEX_URL" in argument for argument in found["installer"].of("ARG"))


def test_what_goes_in_is_said_alike_everywhere(root: Path, found: dict[str, Stage], build: ModuleType) -> None:
    """The Dockerfile copies, and .dockerignore lets in, exactly what the tag is a digest of."""
    lines = (root / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == set(build.INPUTS)
    sources = [
        source
        for stage in found.values()
        for copy in stage.of("COPY")
        if not copy.startswith("--from")
        for source in copy.split()[:-1]
    ]
    covered = {name for name in build.INPUTS for source in sources if f"{source}/".startswith(f"{name}/")}
    assert covered == set(build.INPUTS) - {"images/Dockerfile"}
    assert all((root / source).exists() for source in sources)


def test_versions_and_defaults_agree(root: Path, found: dict[str, Stage], build: ModuleType) -> None:
    """The uv of `make install` builds the images too, and the script knows the Dockerfile's defaults."""
    makefile = re.search(r"^UV_VERSION := (\S+)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert makefile
    arguments = found["installer"].of("ARG")
    assert f"UV_VERSION={makefile[1]}" in arguments
    assert f"TORCH_BACKEND={build.DEFAULTS['TORCH_BACKEND']}" in arguments
    assert found[""].of("ARG") == [f"BASE={build.DEFAULTS['BASE']}"]
    assert f'cache-dir = "{CACHE.removeprefix("target=")}"' in (root / "images/installer/configure.sh").read_text()
