"""The build script's files as modules, found as they are when it is run."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
Load = Callable[[str], ModuleType]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def load() -> Iterator[Load]:
    sys.path.insert(0, str(ROOT / "images"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "images"))


@pytest.fixture(scope="session")
def build(load: Load) -> ModuleType:
    return load("build")


@pytest.fixture(scope="session")
def engine(load: Load) -> ModuleType:
    return load("engine")


@pytest.fixture(scope="session")
def archive(load: Load) -> ModuleType:
    return load("archive")
