"""The benchmark is no package of ours: it is imported from the root, and forgotten again."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Gives a module of `bench` by its name in it."""
    monkeypatch.syspath_prepend(str(ROOT))
    yield lambda name: import_module(f"bench.{name}")
    for name in [name for name in sys.modules if name == "bench" or name.startswith("bench.")]:
        del sys.modules[name]
