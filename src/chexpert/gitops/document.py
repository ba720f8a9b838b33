"""Round trip of one YAML text: what is not edited keeps its comments, quotes, order and indentation."""

import re
from collections.abc import Mapping
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from chexpert.gitops.errors import BrokenInferenceService

__all__ = ["Document", "block"]

_LIST: Final = re.compile(r"^( *)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?: *(?:#[^\n]*)?\n)*( *)- ", re.MULTILINE)
"""A key that opens a list, and the indentation of the list's first dash."""


class Document:
    """One loaded InferenceService; edit `spec` in place, then take `text`."""

    def __init__(self, text: str) -> None:
        found = _LIST.search(text)
        offset = len(found[2]) - len(found[1]) if found else 0
        self._yaml = YAML(typ="rt")
        self._yaml.preserve_quotes = True
        self._yaml.width = 4096  # a long storageUri is not folded
        self._yaml.explicit_start = text.startswith("---")
        self._yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
        try:
            self._root = self._yaml.load(text)
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            raise BrokenInferenceService(str(error), mark.line + 1 if mark else None) from error
        _mapping(self._root.get("spec") if isinstance(self._root, CommentedMap) else None, "spec", 1)

    @property
    def spec(self) -> CommentedMap:
        """The mapping `spec`."""
        spec: CommentedMap = self._root["spec"]
        return spec

    @property
    def predictor(self) -> CommentedMap:
        """The mapping `spec.predictor`."""
        return _mapping(self.spec.get("predictor"), "spec.predictor", int(self.spec.lc.line) + 1)

    @property
    def canaries(self) -> list[CommentedMap]:
        """The entries of `spec.canary`."""
        return list(self.spec.get("canary") or [])

    def put_canaries(self, entries: list[CommentedMap]) -> None:
        """Replace `spec.canary`; no entries: the field goes."""
        if entries:
            sequence = CommentedSeq(entries)
            sequence.fa.set_block_style()
            self.spec["canary"] = sequence
        else:
            self.spec.pop("canary", None)

    def put_predictor(self, fields: Mapping[str, Any]) -> None:
        """Replace `spec.predictor`."""
        self.spec["predictor"] = block(fields)

    @property
    def text(self) -> str:
        """The whole text as it is now."""
        stream = StringIO()
        self._yaml.dump(self._root, stream)
        return stream.getvalue()


def block(value: Any) -> Any:
    """Plain values as block-style nodes, copied: no YAML anchors appear where two roles hold equal parts."""
    if isinstance(value, Mapping):
        mapping = CommentedMap((key, block(entry)) for key, entry in value.items())
        mapping.fa.set_block_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq([block(entry) for entry in value])
        sequence.fa.set_block_style()
        return sequence
    return value


def _mapping(node: Any, name: str, line: int) -> CommentedMap:
    if not isinstance(node, CommentedMap):
        reason = f"{name} must be a mapping"
        raise BrokenInferenceService(reason, line)
    return node
