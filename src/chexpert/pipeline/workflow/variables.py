"""Argo's `{{variables}}`: found in texts, and replaced by values."""

import re
from collections.abc import Mapping
from typing import Final

from chexpert.domain.errors import InputError

__all__ = ["UnknownVariable", "names", "substitute"]

_VARIABLE: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class UnknownVariable(InputError):
    """A text names a variable that has no value here."""

    def __init__(self, name: str, text: str, known: Mapping[str, str]) -> None:
        near = ", ".join(sorted(known)) or "none"
        super().__init__(f"{{{{{name}}}}} in {text!r} has no value here; known: {near}")
        self.name, self.text = name, text


def names(text: str) -> tuple[str, ...]:
    """Names of the variables in the text, in order."""
    return tuple(_VARIABLE.findall(text))


def substitute(text: str, values: Mapping[str, str]) -> str:
    """The text with every variable replaced; what a value holds is not looked at again.

    Raises:
        UnknownVariable: a variable has no value.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise UnknownVariable(name, text, values)
        return values[name]

    return _VARIABLE.sub(value, text)
