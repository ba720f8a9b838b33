"""One YAML file with the line of everything in it, and the error that lists what is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from chexpert.domain.errors import InputError

__all__ = ["Document", "Keys", "Problem", "WorkflowRefused", "load"]

Keys = tuple[str | int, ...]
"""Path from the root to a node: names of maps, indices of lists."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong, at one line (from 1)."""

    line: int
    message: str


class WorkflowRefused(InputError):
    """A manifest that cannot be run as it stands; lists every problem with its line."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path, self.problems = path, tuple(sorted(set(problems)))
        super().__init__("\n".join(f"{path}:{problem.line}: {problem.message}" for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file."""

    path: Path
    root: Any
    """Plain dicts, lists and scalars."""
    marked: Any
    """The same as ruamel's nodes, which know their lines."""

    def line(self, keys: Keys) -> int:
        """Line of the node at `keys`, counted from 1; of the nearest ancestor that has one otherwise."""
        node, line = self.marked, 1
        for key in keys:
            if not isinstance(node, (CommentedMap, CommentedSeq)):
                return line
            place = (node.lc.data or {}).get(key)
            line = place[0] + 1 if place else line
            try:
                node = node[key]
            except (KeyError, IndexError):
                return line
        return line

    def get(self, keys: Keys) -> Any:
        """The plain value at `keys`; None where there is none."""
        node = self.root
        for key in keys:
            try:
                node = node[key]
            except (KeyError, IndexError, TypeError):
                return None
        return node


def load(path: Path) -> Document:
    """Read one YAML document.

    Raises:
        WorkflowRefused: the file is missing, no YAML, has a key twice, or holds several documents.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WorkflowRefused(path, [Problem(1, f"cannot be read: {error.strerror}")]) from error
    try:
        marked = YAML(typ="rt").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        reason = (getattr(error, "problem", None) or str(error)).splitlines()[0]
        raise WorkflowRefused(path, [Problem(line, f"not one YAML document: {reason}")]) from error
    if not isinstance(marked, CommentedMap):
        raise WorkflowRefused(path, [Problem(1, "the document is no map: a manifest has apiVersion, kind and spec")])
    return Document(path=path, root=_plain(marked), marked=marked)


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
