"""The files of a shard folder: `shard-00000.npy` beside `shard-00000.json`, and `shards.json` over all."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final, Self

from chexpert.data import objects
from chexpert.data.errors import UnreadableData
from chexpert.domain.digests import of_value

__all__ = ["CAPACITY", "INDEX", "Index", "Shard", "digest_of_file"]

CAPACITY: Final = 4096
"""Images per shard: 16 MB at 64 px, 420 MB at 320."""

INDEX: Final = "shards.json"


@dataclass(frozen=True, slots=True)
class Shard:
    """What one shard holds. Its JSON file is written after its pixels: where it stands, they are complete."""

    file: str
    key: str
    """Digest of what was asked for: images in order, and preprocessing."""
    digest: str
    """SHA-256 of the .npy file."""
    images: tuple[str, ...]
    """Image checksum per slot."""
    refused: Mapping[int, str]
    """Slot to reason; these slots are black and found by nobody."""

    def write(self, folder_uri: str) -> None:
        """Write <file>.json."""
        content = {**asdict(self), "refused": {str(slot): reason for slot, reason in self.refused.items()}}
        objects.write_bytes(_beside(folder_uri, self.file), json.dumps(content, indent=1).encode())

    @classmethod
    def read(cls, folder_uri: str, file: str) -> Self:
        """Read <file>.json; FileNotFoundError where the shard is not complete."""
        content = _parse(_beside(folder_uri, file))
        refused = {int(slot): str(reason) for slot, reason in content["refused"].items()}
        return cls(**{**content, "images": tuple(content["images"]), "refused": refused})


@dataclass(frozen=True, slots=True)
class Index:
    """shards.json."""

    size: int
    """Side of an image in pixels."""
    capacity: int
    """Slots per shard; the last one may have fewer."""
    preprocess: Mapping[str, Any]
    shards: Mapping[str, str]
    """File to its SHA-256, in order."""

    @property
    def digest(self) -> str:
        """Digest of preprocessing and pixels."""
        return of_value(asdict(self))

    def write(self, folder_uri: str) -> None:
        """Write shards.json."""
        content = json.dumps({**asdict(self), "digest": self.digest}, indent=1)
        objects.write_bytes(objects.child(folder_uri, INDEX), content.encode())

    @classmethod
    def read(cls, folder_uri: str) -> Self:
        """Read shards.json; UnreadableData if it is missing or was changed."""
        uri = objects.child(folder_uri, INDEX)
        try:
            content = _parse(uri)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnreadableData(uri, reason="there is none: build the shards of this manifest first") from error
        try:
            stated = content.pop("digest", "")
            index = cls(**content)
        except (AttributeError, TypeError) as error:  # no object, or one of other keys
            raise UnreadableData(uri, reason=f"no index of shards: {error}") from error
        if index.digest != stated:
            raise UnreadableData(uri, reason=f"its digest is {index.digest}, it says {stated}")
        return index


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _beside(folder_uri: str, file: str) -> str:
    return objects.child(folder_uri, f"{file.removesuffix('.npy')}.json")


def _parse(uri: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(objects.read_bytes(uri))
    except ValueError as error:
        raise UnreadableData(uri, reason=f"no JSON: {error}") from error
    return content
