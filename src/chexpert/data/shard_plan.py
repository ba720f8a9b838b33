"""Which image stands in which slot of which shard: from the manifest alone, so that every process finds the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from chexpert.data.manifest import Manifest
from chexpert.domain.digests import of_value
from chexpert.imaging.preprocess import PreprocessSpec

__all__ = ["ShardPlan", "Source"]

Source = tuple[str, str]
"""Address and checksum of an image."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Each distinct image of a manifest once, in the order of its first row, `capacity` to a shard."""

    images: tuple[Source, ...]
    capacity: int
    missing: bool
    """Whether a row has no checksum: its file was not there."""

    @classmethod
    def of(cls, manifest: Manifest, capacity: int) -> Self:
        """Plan the shards of a manifest."""
        images: dict[str, str] = {}
        for sha256, uri in zip(manifest.column("sha256"), manifest.column("image_path"), strict=True):
            images.setdefault(sha256, uri)
        missing = images.pop("", None) is not None
        return cls(tuple((uri, sha256) for sha256, uri in images.items()), capacity, missing)

    @property
    def count(self) -> int:
        """Shards."""
        return -(-len(self.images) // self.capacity)

    def name(self, number: int) -> str:
        """File of a shard, counted from 0."""
        return f"shard-{number:05}.npy"

    def shard(self, number: int) -> tuple[Source, ...]:
        """Images of a shard in the order of their slots; IndexError where there is no such shard."""
        if not 0 <= number < self.count:
            msg = f"there is no shard {number}: {len(self.images)} images make {self.count} of {self.capacity}"
            raise IndexError(msg)
        return self.images[number * self.capacity : (number + 1) * self.capacity]

    def key(self, number: int, spec: PreprocessSpec) -> str:
        """Digest of what a shard holds: its images in order, and preprocessing."""
        return of_value([spec.digest, [sha256 for _, sha256 in self.shard(number)]])

    def reasons(self, refused: Mapping[str, str], missing: str) -> dict[str, str]:
        """Refusals by checksum, with that of rows without one."""
        return {**({"": missing} if self.missing else {}), **refused}
