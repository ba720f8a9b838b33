import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CUDA = re.compile(r"^(?:nvidia-|cuda-|triton$)")


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pins(root: Path) -> list[Requirement]:
    return [Requirement(line) for line in (root / "requirements.lock").read_text().splitlines() if line]


def asked(project: dict[str, Any]) -> list[Requirement]:
    extras = project["project"]["optional-dependencies"]
    groups = project["dependency-groups"]
    every = chain(project["project"]["dependencies"], *extras.values(), *groups.values())
    found = [Requirement(text) for text in every]
    return [one for one in found if canonicalize_name(one.name) != project["project"]["name"]]


def test_the_lock_holds_pins_only(root: Path, pins: list[Requirement]) -> None:
    """No index address, no option, no URL: where packages come from is the machine's own affair."""
    text = (root / "requirements.lock").read_text()
    assert "://" not in text
    assert not any(line.startswith("-") for line in text.splitlines())
    assert [str(pin) for pin in pins if [s.operator for s in pin.specifier] != ["=="]] == []


def test_the_lock_holds_no_cuda(pins: list[Requirement]) -> None:
    """4 of 6.8 GB: which of them a machine needs, TORCH_BACKEND says."""
    assert [pin.name for pin in pins if CUDA.match(pin.name)] == []
    assert CUDA.match("nvidia-cublas")
    assert CUDA.match("triton")
    assert not CUDA.match("tritonclient")


def test_every_dependency_is_pinned_at_the_version_asked_for(project: dict[str, Any], pins: list[Requirement]) -> None:
    """Pyproject and lock never disagree; a range is met by each of its pins."""
    by_name: dict[str, list[Requirement]] = {}
    for pin in pins:
        by_name.setdefault(canonicalize_name(pin.name), []).append(pin)
    for wanted in asked(project):
        found = by_name.get(canonicalize_name(wanted.name), [])
        assert found, f"{wanted} is not in requirements.lock: make lock"
        for pin in found:
            (version,) = (s.version for s in pin.specifier)
            assert wanted.specifier.contains(version), f"{wanted} is pinned at {version}: make lock"


def test_dependencies_are_asked_for_exactly(project: dict[str, Any]) -> None:
    """Each is one version, but scipy, which has no single one for Python 3.11 to 3.13."""
    loose = [str(one) for one in asked(project) if [s.operator for s in one.specifier] != ["=="]]
    assert [text.split(">")[0].split("<")[0] for text in loose] == ["scipy"]


def test_the_extra_all_holds_every_other_extra(project: dict[str, Any]) -> None:
    """Whoever installs `all` can run everything."""
    extras = set(project["project"]["optional-dependencies"]) - {"all"}
    (everything,) = project["project"]["optional-dependencies"]["all"]
    assert Requirement(everything).extras == extras
