"""`when`: comparisons by == and != joined by && and ||, where && binds tighter. No brackets, no functions.

A subset of govaluate's language, which Argo uses: what is accepted here means the same there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from chexpert.domain.errors import InputError
from chexpert.pipeline.workflow import variables

__all__ = ["BadCondition", "Comparison", "Condition"]

_OPERAND: Final = r"""'[^']*'|"[^"]*"|\{\{[^{}]*\}\}|[A-Za-z0-9_]+"""
_COMPARISON: Final = re.compile(rf"\s*({_OPERAND})\s*(==|!=)\s*({_OPERAND})\s*")


class BadCondition(InputError):
    """A `when` that is no condition of the supported form."""

    def __init__(self, text: str) -> None:
        super().__init__(f"when: {text!r} is not supported: write 'a' == 'b' or !=, joined by && or ||, no brackets")
        self.text = text


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two texts, with variables in them, that must be equal or must differ."""

    left: str
    equal: bool
    right: str

    def holds(self, values: Mapping[str, str]) -> bool:
        """Compare as texts, after the variables are replaced."""
        same = variables.substitute(self.left, values) == variables.substitute(self.right, values)
        return same is self.equal


@dataclass(frozen=True, slots=True)
class Condition:
    """Any of several groups, of which all comparisons hold."""

    text: str
    groups: tuple[tuple[Comparison, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `when`.

        Raises:
            BadCondition: it is none of the supported form.
        """
        groups = tuple(tuple(_comparison(part, text) for part in group.split("&&")) for group in text.split("||"))
        return cls(text=text, groups=groups)

    def holds(self, values: Mapping[str, str]) -> bool:
        """Whether the task runs."""
        return any(all(comparison.holds(values) for comparison in group) for group in self.groups)


def _comparison(part: str, text: str) -> Comparison:
    match = _COMPARISON.fullmatch(part)
    if match is None:
        raise BadCondition(text)
    left, operator, right = match.groups()
    return Comparison(left=_unquoted(left), equal=operator == "==", right=_unquoted(right))


def _unquoted(operand: str) -> str:
    return operand[1:-1] if operand[0] in "'\"" else operand
