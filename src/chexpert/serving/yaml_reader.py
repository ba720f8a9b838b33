"""Reading a YAML mapping field by field; every complaint names the field and its line."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self

from ruamel.yaml.comments import CommentedMap

from chexpert.domain.errors import InputError

__all__ = ["BadServedFile", "Fields"]


class BadServedFile(InputError):
    """The InferenceService file holds something that is not served, or lacks something that must be there."""

    def __init__(self, where: str, line: int, field: str, reason: str) -> None:
        super().__init__(f"{where}, line {line}: {f'{field}: ' if field else ''}{reason}")
        self.where = where
        self.line = line
        self.field = field
        self.reason = reason


class Fields:
    """One mapping; each field is read once, and `done` refuses what was not read."""

    def __init__(self, mapping: CommentedMap, where: str, path: str) -> None:
        self._mapping = mapping
        self._where = where
        self._path = path
        self._read: set[str] = set()

    @classmethod
    def of(cls, value: Any, where: str, path: str, line: int = 1) -> Self:
        """The fields of `value`; BadServedFile if it is no mapping."""
        if not isinstance(value, CommentedMap):
            raise BadServedFile(where, line, path, f"expected a mapping, not {_kind(value)}")
        return cls(value, where, path)

    def has(self, field: str) -> bool:
        """Whether the field is there."""
        return field in self._mapping

    def refuse(self, field: str, reason: str) -> NoReturn:
        """Raise BadServedFile: what is wrong with one field, at its line."""
        raise BadServedFile(self._where, self._line(field), self._name(field), reason)

    def text(self, field: str) -> str:
        """A required, non-empty string."""
        value = self._required(field)
        if not isinstance(value, str) or not value:
            self.refuse(field, f"expected text, not {_kind(value)}")
        return str(value)

    def integer(self, field: str) -> int:
        """A required whole number."""
        value = self._required(field)
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(field, f"expected a whole number, not {_kind(value)}")
        return int(value)

    def literal(self, field: str, expected: str) -> None:
        """A required string with one possible value."""
        if (value := self.text(field)) != expected:
            self.refuse(field, f"must be {expected!r}, not {value!r}")

    def mapping(self, field: str) -> "Fields":
        """A required mapping."""
        return Fields.of(self._required(field), self._where, self._name(field), self._line(field))

    def items(self, field: str) -> Sequence["Fields"]:
        """The mappings of an optional list."""
        self._read.add(field)
        value = self._mapping.get(field, [])
        if not isinstance(value, list):
            self.refuse(field, f"expected a list, not {_kind(value)}")
        line = self._line(field)
        return [Fields.of(item, self._where, f"{self._name(field)}[{i}]", line) for i, item in enumerate(value)]

    def optional_text(self, field: str) -> None:
        """A string that is not read here, if it is there."""
        if field in self._mapping:
            self.text(field)

    def optional_integer(self, field: str) -> None:
        """A whole number that is not read here, if it is there."""
        if field in self._mapping:
            self.integer(field)

    def optional_plain(self, field: str) -> None:
        """A mapping that is not read here, if it is there."""
        if field in self._mapping:
            self.mapping(field)

    def done(self) -> None:
        """Refuse the first field that nobody read."""
        for field in self._mapping:
            if field not in self._read:
                self.refuse(str(field), "is not supported by this server; take it out")

    def _required(self, field: str) -> Any:
        self._read.add(field)
        if field not in self._mapping:
            self.refuse(field, "is missing")
        return self._mapping[field]

    def _name(self, field: str) -> str:
        return f"{self._path}.{field}" if self._path else field

    def _line(self, field: str) -> int:
        if field in self._mapping:
            return int(self._mapping.lc.key(field)[0]) + 1
        return int(self._mapping.lc.line) + 1


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a mapping" if isinstance(value, Mapping) else f"{value!r}"
