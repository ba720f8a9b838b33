#!/usr/bin/env python3
"""Builds the images of images/Dockerfile, writes them to var/images, measures them, and pushes them where told to.

    images/build.py [IMAGE...]     serve, web, train, tools; all of them without a name
    images/build.py --tag          print the tag and build nothing

Needs Python 3.11, git, and one of buildah, podman and docker. The environment says the rest:

    IMAGE_REGISTRY      where to push, as registry/path; without it the images are localhost's
    IMAGE_TAG           instead of the tag that follows from what goes in
    IMAGE_ENGINE        the engine with options of its own, as in `buildah --root DIR`; else the first one on PATH
    IMAGE_BUILD_ARGS    further options of the engine's `build`
    BASE, PIP_INDEX_URL, TORCH_BACKEND    build arguments, see docs/images.md
"""
# ruff: noqa: T201, S603

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from archive import Image, known_layers, measure, remember
from engine import Engine, EngineMissing, choose

__all__ = ["Built", "built", "copy", "main", "read", "reference", "released", "table", "tag", "too_large", "write"]

ROOT = Path(__file__).resolve().parents[1]
ARCHIVES = ROOT / "var/images"
INPUTS = ("images/Dockerfile", "images/installer", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "src")
"""What goes into the images. .dockerignore says the same to who calls an engine by hand."""

IMAGES = {
    "serve": "model server: V2 REST and gRPC",
    "web": "the readers' site and its worker",
    "train": "training, torchrun jobs",
    "tools": "every pipeline step, MLflow's server",
}
DEFAULTS = {"BASE": "docker.io/library/python:3.11-slim-bookworm", "TORCH_BACKEND": "cpu"}
LIMITS_BYTES = {"chexpert/serve": 350_000_000}
"""Compressed: what a node has to pull before a canary on it can answer."""

HEADER = (
    "# Written by images/build.py: what was built last. `id` is the configuration's sha256, `digest` the registry's.\n"
)


@dataclass(frozen=True)
class Built:
    """One image of images/digests.yaml."""

    name: str
    """Without the registry."""
    tag: str
    id: str
    platform: str
    compressed_bytes: int
    unpacked_bytes: int
    digest: str = ""
    """Of the manifest in the registry; empty if not pushed."""


def inputs(root: Path) -> list[Path]:
    """Returns the files that go into the images, sorted, relative to `root`."""
    found: list[Path] = []
    for path in (root / name for name in INPUTS):
        found += path.rglob("*") if path.is_dir() else [path]
    return sorted(path.relative_to(root) for path in found if path.is_file() and "__pycache__" not in path.parts)


@contextmanager
def copy(root: Path) -> Iterator[Path]:
    """Gives a copy of what goes in, so that all images are made of the same even if the checkout changes meanwhile."""
    with tempfile.TemporaryDirectory(prefix="chexpert-images-") as folder:
        for path in inputs(root):
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, target)
        yield Path(folder)


def tag(content: Path, environment: Mapping[str, str], *, released: str = "") -> str:
    """Returns the images' tag; the same content, base and torch always give the same one, and others another.

    Args:
        content: folder of what goes in.
        environment: IMAGE_TAG, which goes before everything; BASE and TORCH_BACKEND.
        released: the version that this content was released as; it stands without a digest.
    """
    if told := environment.get("IMAGE_TAG"):
        return told
    arguments = {name: environment.get(name) or default for name, default in DEFAULTS.items()}
    if released and arguments == DEFAULTS:
        return released
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode())
    for path in inputs(content):
        digest.update(f"\n{path.as_posix()} {hashlib.sha256((content / path).read_bytes()).hexdigest()}".encode())
    return f"{_version(content)}-{digest.hexdigest()[:10]}"


def released(root: Path) -> str:
    """Returns the version if the commit carries its git tag and nothing that goes in differs from it; else nothing."""
    version = _version(root)
    command = ["git", "tag", "--points-at", "HEAD"]
    tags = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    if f"v{version}" not in tags.stdout.split():
        return ""
    command = ["git", "status", "--porcelain", "--", *INPUTS]
    return "" if subprocess.run(command, cwd=root, check=True, capture_output=True).stdout else version


def _version(root: Path) -> str:
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def build_options(name: str, version: str, environment: Mapping[str, str]) -> list[str]:
    """Returns build arguments, labels by the OCI's annotation names, and what IMAGE_BUILD_ARGS adds."""
    arguments = [
        f"--build-arg={key}={environment[key]}" for key in (*DEFAULTS, "PIP_INDEX_URL") if environment.get(key)
    ]
    labels = {
        "title": f"chexpert/{name}",
        "description": IMAGES[name],
        "version": version,
        "licenses": "Apache-2.0",
        "base.name": environment.get("BASE") or DEFAULTS["BASE"],
    }
    annotations = [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items()]
    return [*arguments, *annotations, *shlex.split(environment.get("IMAGE_BUILD_ARGS", ""))]


def save(engine: Engine, name: str, version: str, registry: str) -> None:
    """Leaves an image's archive in var/images, in place of earlier ones of the same image."""
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    partial = ARCHIVES / f"{name}.partial"
    engine.save(reference(name, version, registry), partial)
    for earlier in ARCHIVES.glob(f"{name}-*.tar"):
        earlier.unlink()
    partial.rename(ARCHIVES / f"{name}-{version}.tar")


def reference(name: str, version: str, registry: str) -> str:
    """Returns the full name of an image; without a registry it is localhost's."""
    return f"{registry or 'localhost'}/chexpert/{name}:{version}"


def built(name: str, version: str, image: Image, digest: str = "") -> Built:
    """Returns the line of digests.yaml for an image."""
    compressed, unpacked = (sum(getattr(layer, size) for layer in image.layers) for size in ("compressed", "unpacked"))
    return Built(f"chexpert/{name}", version, image.id, image.platform, compressed, unpacked, digest)


def read(path: Path) -> dict[str, Built]:
    """Returns the images that digests.yaml names; none where it is not there."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = (Built(**json.loads(line.removeprefix("- "))) for line in lines if line.startswith("- "))
    return {one.name: one for one in found}


def write(path: Path, images: Mapping[str, Built]) -> None:
    """Writes digests.yaml, one image a line, sorted by name; a JSON object is YAML too."""
    lines = (
        json.dumps({key: value for key, value in asdict(images[name]).items() if value}) for name in sorted(images)
    )
    path.write_text(HEADER + "".join(f"- {line}\n" for line in lines))


def table(images: Iterable[Built]) -> str:
    """Returns names, tags and sizes in MB of 10^6 bytes, as lines of text."""
    rows = [("image", "tag", "compressed MB", "unpacked MB")]
    rows += [(b.name, b.tag, f"{b.compressed_bytes / 1e6:.0f}", f"{b.unpacked_bytes / 1e6:.0f}") for b in images]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def too_large(images: Iterable[Built]) -> list[str]:
    """Returns a line for each image over its limit."""
    return [
        f"{b.name} has {b.compressed_bytes / 1e6:.1f} MB compressed, over {LIMITS_BYTES[b.name] / 1e6:.0f} MB"
        for b in images
        if b.compressed_bytes > LIMITS_BYTES.get(b.name, b.compressed_bytes)
    ]


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Builds what is asked for; returns the exit code: 0, or 1 where an engine failed or an image is too large."""
    parser = argparse.ArgumentParser(description="Builds the images of images/Dockerfile; see the head of this file.")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=", ".join(IMAGES))
    parser.add_argument("--tag", action="store_true", help="print the tag and build nothing")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.images) - set(IMAGES):
        parser.error(f"no image {', '.join(sorted(unknown))}; there are {', '.join(IMAGES)}")
    if asked.tag:
        print(tag(ROOT, environment, released=released(ROOT)))
        return 0
    names = asked.images or list(IMAGES)
    digests, registry = ROOT / "images/digests.yaml", environment.get("IMAGE_REGISTRY", "")
    sizes = ARCHIVES / "layers.json"
    layers = known_layers(sizes)
    finished: list[Built] = []
    try:
        engine = choose(environment)
        with copy(ROOT) as context:
            version = tag(context, environment, released=released(ROOT))
            for name in names:
                options = build_options(name, version, environment)
                engine.build(context, context / "images/Dockerfile", name, reference(name, version, registry), options)
                save(engine, name, version, registry)
        for name in names:
            digest = engine.push(reference(name, version, registry)) if registry else ""
            finished.append(built(name, version, measure(ARCHIVES / f"{name}-{version}.tar", layers), digest))
            remember(sizes, layers)
            write(digests, read(digests) | {finished[-1].name: finished[-1]})
    except (EngineMissing, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(finished))
    for line in (problems := too_large(finished)):
        print(line, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
