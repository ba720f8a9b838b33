"""Strict reading of a card's JSON: each missing, unknown or ill-typed key is named."""

from dataclasses import fields
from math import isfinite
from typing import Any, TypeVar

from chexpert.bundle.errors import BrokenBundle

__all__ = ["record", "require_keys", "typed"]

T = TypeVar("T")


def require_keys(where: str, key: str, value: Any, expected: set[str]) -> None:
    """Refuse a value that is no object with exactly these keys."""
    if not isinstance(value, dict):
        raise BrokenBundle(where, f"{_at(key)} is {type(value).__name__}, not an object")
    if missing := sorted(expected - value.keys()):
        raise BrokenBundle(where, f"{_at(key)} lacks {', '.join(missing)}")
    if unknown := sorted(value.keys() - expected):
        raise BrokenBundle(where, f"{_at(key)} has unknown {', '.join(unknown)}")


def typed(where: str, key: str, value: Any, kind: type[T]) -> T:
    """The value if it is of this kind; a whole number passes for a float, NaN and infinity for nothing."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not isfinite(value)):
        raise BrokenBundle(where, f"{_at(key)} is {value!r}, not a {kind.__name__}")
    result: T = value
    return result


def record(where: str, key: str, kind: type[T], value: Any) -> T:
    """A dataclass of plain fields from an object with exactly its keys."""
    require_keys(where, key, value, {f.name for f in fields(kind)})  # type: ignore[arg-type]
    return kind(**{f.name: typed(where, f"{key}.{f.name}", value[f.name], _plain(f.type)) for f in fields(kind)})  # type: ignore[arg-type]


def _plain(annotation: Any) -> type[Any]:
    if isinstance(annotation, type):
        return annotation
    msg = f"a card's record holds plain fields only, not {annotation}"
    raise TypeError(msg)


def _at(key: str) -> str:
    return f"card.json: {key}" if key else "card.json"
