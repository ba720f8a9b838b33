"""What can be wrong with a network's name, size or weight file."""

from collections.abc import Sequence
from typing import Final

from chexpert.domain.errors import InputError

__all__ = ["BrokenModel", "MismatchedWeights", "UnknownNetwork", "UnreadableWeights", "UnusableSize"]

_PREVIEW: Final = 5


class UnknownNetwork(InputError):
    """No network has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no network is called {name!r}: choose one of {', '.join(known)}")
        self.name = name


class UnusableSize(InputError):
    """The image size does not divide into the network's patches."""

    def __init__(self, name: str, size: int, multiple: int) -> None:
        super().__init__(f"{name} takes images whose side is a multiple of {multiple} px, not {size}")
        self.name = name
        self.size = size
        self.multiple = multiple


class MismatchedWeights(InputError):
    """A weight file does not fit the network."""

    def __init__(
        self,
        file: str,
        network: str,
        *,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        misshaped: Sequence[str] = (),
    ) -> None:
        lists = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshaped))
        found = "; ".join(f"{len(keys)} {word}: {_preview(keys)}" for word, keys in lists if keys)
        super().__init__(f"weights {file} do not fit {network}: {found}")
        self.file = file
        self.network = network
        self.missing = tuple(missing)
        self.unexpected = tuple(unexpected)
        self.misshaped = tuple(misshaped)


class UnreadableWeights(InputError):
    """A weight file holds something else than named tensors, and nothing else is ever loaded."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"weights {file} are no plain tensors by name ({reason}): save a state dict as safetensors")
        self.file = file
        self.reason = reason


class BrokenModel(InputError):
    """A model's folder is not what was saved."""

    def __init__(self, uri: str, what: str) -> None:
        super().__init__(f"model {uri}: {what}; train it again or point to a whole one")
        self.uri = uri
        self.what = what


def _preview(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:_PREVIEW])
    return shown if len(keys) <= _PREVIEW else f"{shown} and {len(keys) - _PREVIEW} more"
