"""Strict reading of a card's JSON: each missing, unknown or ill-typed key is named."""

from collections.abc import Collection
from dataclasses import fields
from math import isfinite
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args

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


def record(where: str, key: str, kind: type[T], value: Any, *, without: Collection[str] = ()) -> T:
    """A dataclass of plain fields, or such that may be None, from an object with exactly its keys.

    Args:
        where: Whose card it is.
        key: Which part of it.
        kind: The dataclass.
        value: The object.
        without: Fields with a default that the object does not have.
    """
    known = [f for f in fields(kind) if f.name not in without]  # type: ignore[arg-type]
    require_keys(where, key, value, {f.name for f in known})
    return kind(**{f.name: _field(where, f"{key}.{f.name}", value[f.name], f.type) for f in known})


def _field(where: str, key: str, value: Any, annotation: Any) -> Any:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    plain = [kind for kind in kinds if kind is not NoneType]
    if len(plain) != 1 or not isinstance(plain[0], type):
        msg = f"a card's record holds plain fields only, not {annotation}"
        raise TypeError(msg)
    return None if value is None and NoneType in kinds else typed(where, key, value, plain[0])


def _at(key: str) -> str:
    return f"card.json: {key}" if key else "card.json"
