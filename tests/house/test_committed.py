import re
from pathlib import Path

import pytest

MACHINE = re.compile(r"(?<![\w.])/(?:work|root)/|(?<![\w.])/home/[a-z]+/|[A-Z]:\\Users\\")
LATEST = re.compile(r"image:\s*\S+:latest\b|FROM\s+\S+:latest\b")
MANIFEST = re.compile(r"^apiVersion:\s*(?:argoproj\.io|serving\.kserve\.io)/", re.MULTILINE)
SCHEMA = "# yaml-language-server: $schema="
THIS = Path("tests/house/test_committed.py")


def texts(root: Path, tracked: list[Path]) -> dict[Path, str]:
    found = {}
    for path in tracked:
        try:
            found[path] = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or another binary file
    return found


def machine_paths(text: str) -> list[str]:
    return MACHINE.findall(text)


def test_no_path_of_one_machine_is_committed(root: Path, tracked: list[Path]) -> None:
    """What is written here runs anywhere; documents may name an example."""
    found = texts(root, [path for path in tracked if path.suffix != ".md" and path != THIS])
    assert {path: hits for path, text in found.items() if (hits := machine_paths(text))} == {}


@pytest.mark.parametrize("text", ['open("/work/x")', "cd /root/thing", "/home/jane/x"])
def test_a_path_of_one_machine_is_seen(text: str) -> None:
    """The pattern finds what it is there for, and leaves a URL's path alone."""
    assert machine_paths(text)
    assert machine_paths("https://example.org/work/order ../root/x.yaml") == []


def unnamed_schemas(manifests: dict[Path, str]) -> list[Path]:
    return [path for path, text in manifests.items() if MANIFEST.search(text) and not text.startswith(SCHEMA)]


def test_every_manifest_opens_with_its_schema(root: Path, tracked: list[Path]) -> None:
    """An editor checks it while it is written. Charts' templates are no YAML yet and are checked rendered."""
    manifests = [p for p in tracked if p.suffix in {".yaml", ".yml"} and p.parts[0] in {"argo", "kserve"}]
    assert unnamed_schemas(texts(root, manifests)) == []


def test_a_manifest_without_its_schema_is_seen() -> None:
    """The rule refuses, and asks nothing of other YAML."""
    bare = {Path("a.yaml"): "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n"}
    assert unnamed_schemas(bare) == [Path("a.yaml")]
    assert unnamed_schemas({Path("b.yaml"): "resources: []\n"}) == []


def test_no_image_is_named_latest(root: Path, tracked: list[Path]) -> None:
    """What runs today must run tomorrow."""
    found = texts(root, [path for path in tracked if path.suffix in {".yaml", ".yml"} or "Dockerfile" in path.name])
    assert [path for path, text in found.items() if LATEST.search(text)] == []
    assert LATEST.search("  image: python:latest")
