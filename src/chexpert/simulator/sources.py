"""Where images come from: a folder of radiographs, or phantoms drawn to order."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chexpert.data import folder
from chexpert.data.phantoms import Knobs, draw
from chexpert.domain.errors import InputError
from chexpert.domain.labels import PRESENT
from chexpert.domain.observations import Observation
from chexpert.domain.studies import View
from chexpert.imaging.decode import decode
from chexpert.simulator.devices import DEVICES, DeviceProfile, Shift, acquire, plain, shifted
from chexpert.simulator.samples import NO_TRUTH, Sample, Source, truth_of_yes_no

__all__ = ["FolderSource", "NoImages", "PhantomSource", "Source"]

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".dcm"})


class NoImages(InputError):
    """A folder without an image."""

    def __init__(self, where: Path) -> None:
        super().__init__(f"{where}: no file ending in {', '.join(sorted(SUFFIXES))}, and no {folder.TABLE}")
        self.where = where


@dataclass(frozen=True, slots=True)
class PhantomSource:
    """Phantoms, each taken by one of the devices; their truth is exact."""

    seed: int = 0
    size: int = 128
    """Pixels drawn per side, before the device resizes them; drawing 256 takes three times as long."""
    devices: tuple[DeviceProfile, ...] = DEVICES
    """Each equally often; empty: as drawn, which is how training data looks."""
    shift: Shift | None = None
    """Changes every image; None switches it off."""
    knobs: Knobs = field(default_factory=Knobs)
    """Changes what is drawn: prevalence, age and the like."""

    def sample(self, number: int) -> Sample:
        """One phantom of a patient of its own."""
        rng = np.random.default_rng([self.seed, number])
        phantom = draw(rng, size=self.size, knobs=self.knobs)
        profile = _one_of(self.devices, rng) or plain(phantom.pixels)
        return Sample(
            name=f"phantom-{number:06d}",
            data=_taken(phantom.pixels, profile, self.shift, rng),
            truth=tuple(phantom.truth),
            device=profile.name,
            source="phantom",
            patient=f"sim{self.seed:04d}-{number:06d}",
            sex=phantom.sex,
            age=phantom.age,
            view=phantom.view,
        )


@dataclass(frozen=True)
class FolderSource:
    """Images of a folder in a shuffled order, round after round.

    Without devices or a shift the first round sends the bytes as they are. Later rounds add a little noise, so that no
    two samples of a run hold the same bytes: those would be found again, as one image.
    """

    folder: Path
    """With a labels.csv (chexpert.data.folder) the truth is its yes or no; any other folder has none."""
    seed: int = 0
    devices: tuple[DeviceProfile, ...] = ()
    """Empty: as found."""
    shift: Shift | None = None
    """Changes every image; None switches it off."""

    def __len__(self) -> int:
        """Images of one round."""
        return len(self._found)

    def sample(self, number: int) -> Sample:
        """One image of the folder; NoImages or UnreadableData where there is none."""
        files = self._found
        turn, place = divmod(number, len(files))
        order = np.random.default_rng([self.seed, turn]).permutation(len(files))
        path, found = files[int(order[place])]
        data = path.read_bytes()
        if turn == 0 and not self.devices and self.shift is None:
            return replace(found, data=data)
        rng = np.random.default_rng([self.seed, turn, place])
        pixels = decode(data).pixels
        profile = _one_of(self.devices, rng) or plain(pixels, noise=1.0, jpeg_quality=92)
        return replace(found, data=_taken(pixels, profile, self.shift, rng), device=profile.name)

    @cached_property
    def _found(self) -> list[tuple[Path, Sample]]:
        if (self.folder / folder.TABLE).exists():
            return [_sample(row, self.folder.resolve()) for row in folder.read(self.folder).table.to_pylist()]
        paths = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise NoImages(self.folder)
        return [(p, Sample(str(p.relative_to(self.folder)), b"", source=self.folder.name)) for p in paths]


def _sample(row: Mapping[str, Any], root: Path) -> tuple[Path, Sample]:
    path = Path(row["image_path"])
    no_finding = row[Observation.NO_FINDING.value]
    return path, Sample(
        name=str(path.relative_to(root)),
        data=b"",
        truth=NO_TRUTH if no_finding is None else truth_of_yes_no(abnormal=no_finding != PRESENT),
        source=row["source"],
        patient="" if row["patient"] == row["sha256"] else row["patient"],
        sex=row["sex"],
        age=row["age"],
        view=View(row["view"]),
    )


def _one_of(devices: tuple[DeviceProfile, ...], rng: np.random.Generator) -> DeviceProfile | None:
    return devices[int(rng.integers(len(devices)))] if devices else None


def _taken(
    pixels: NDArray[np.uint8],
    profile: DeviceProfile,
    shift: Shift | None,
    rng: np.random.Generator,
) -> bytes:
    return acquire(pixels, profile if shift is None else shifted(profile, shift), rng)
