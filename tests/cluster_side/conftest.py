"""A recorded cluster: JSON objects by path, and what of them is refused."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chexpert.cluster.api import NO_QUERY
from chexpert.cluster.errors import ClusterRefused

RECORDED = Path(__file__).parent / "recorded"


class RecordedApi:
    """Answers from a mapping of paths; see `chexpert.cluster.api.Api`."""

    address = "https://recorded"

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self.objects = dict(objects)
        self.created: list[tuple[str, Mapping[str, Any], Mapping[str, str]]] = []

    def get(self, path: str, query: Mapping[str, str] = NO_QUERY) -> Any:
        """An object or None."""
        return self._answer(path + "".join(f"?{value}" for value in query.values()), path)

    def create(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = NO_QUERY) -> Any:
        """Note what was created."""
        self.created.append((path, body, query))
        return self._answer(f"POST {path}", "") or body

    def lines(self, path: str, query: Mapping[str, str] = NO_QUERY) -> Iterator[str]:
        """A recorded text."""
        found = self._answer(path + "".join(f"?{value}" for value in query.values()), path)
        if found is None:
            raise ClusterRefused(path, 404, "not found")
        yield from found

    def _answer(self, exact: str, path: str) -> Any:
        found = self.objects.get(exact, self.objects.get(path))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def recorded_api() -> Callable[[Mapping[str, Any]], RecordedApi]:
    return RecordedApi


@pytest.fixture
def recorded() -> Callable[[str], dict[str, Any]]:
    def read(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
        return found

    return read
