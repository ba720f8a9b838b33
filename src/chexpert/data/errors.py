"""What can be wrong with data, and the line about each row that is left out."""

from dataclasses import dataclass

from chexpert.domain.errors import InputError

__all__ = ["MissingPixels", "Refusal", "UnreadableData"]


class UnreadableData(InputError):
    """A table, folder or object that is not what it should be."""

    def __init__(self, uri: str, *, reason: str) -> None:
        super().__init__(f"{uri}: {reason}")
        self.uri = uri
        self.reason = reason


class MissingPixels(InputError):
    """Images were asked for that these shards do not hold."""

    def __init__(self, uri: str, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"{uri}: {len(missing)} images have no pixels here, the first is {missing[0]}: "
            "build the shards of this manifest",
        )
        self.uri = uri
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Refusal:
    """One image that is left out, and why."""

    study: str
    sha256: str
    reason: str
    image_path: str = ""

    def __str__(self) -> str:
        return f"refused {self.image_path or self.sha256}: {self.reason}"
