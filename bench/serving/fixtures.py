"""What is served and what is asked: bundles of every variant, the network for torch, pixels and JPEGs.

Built once under var/bench/serving, and anew when a version that shapes them changes.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

import chexpert
from chexpert.data.phantoms import draw
from chexpert.domain.digests import of_bytes

SIZE: Final = 320
"""Side of the large network's image, pixels."""
SMALL: Final = 64
"""Side of the small network's image, pixels."""
JPEG_SIDE: Final = 1024
ASKED: Final = 16
"""Different images in the requests."""
FP32: Final = "fp32"

_LAYOUT: Final = 7
"""Raised when what is built here changes."""
_SHAPING: Final = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "openvino")


@dataclass(frozen=True, slots=True)
class Served:
    """One variant as a bundle."""

    name: str
    folder: Path
    digest: str
    runtime: str
    lost: str
    """Why the gate did not take it; empty: it did."""
    score_change_max: float
    """Largest score difference against fp32 on the judged images."""


@dataclass(frozen=True, slots=True)
class Fixtures:
    """Everything a run needs."""

    root: Path
    variants: Mapping[str, Served]
    small: Served

    @property
    def chosen(self) -> str:
        """Name of the variant that the gate takes."""
        return next(one.name for one in self.variants.values() if not one.lost)

    @property
    def network(self) -> Path:
        """Folder of the network for torch, with calibration.json in it."""
        return self.root / "trained" / "densenet121" / "network"

    def pixels(self, size: int = SIZE) -> NDArray[np.uint8]:
        """Images that are asked about, uint8 (ASKED, 1, size, size)."""
        loaded: NDArray[np.uint8] = np.load(self.root / f"pixels-{size}.npy")
        return loaded

    def jpegs(self) -> list[bytes]:
        """The same number of radiographs as JPEG files of JPEG_SIDE pixels."""
        return [path.read_bytes() for path in sorted((self.root / "jpeg").iterdir())]


def fixtures(root: Path) -> Fixtures:
    """Build them, or reuse what lies there and is of these versions."""
    stamp = {"layout": _LAYOUT, "optimise": _sources(), **{package: version(package) for package in _SHAPING}}
    root = root.resolve()  # servers take a relative folder for one among their objects
    index = root / "index.json"
    built = json.loads(index.read_text())["stamp"] if index.exists() else None
    if built != stamp:
        if built is not None:  # of other versions, its network too; a build that was broken off is gone on with
            shutil.rmtree(root)
        print(f"building fixtures in {root}: takes minutes, once")
        _write_index(index, stamp, *_build(root))
    facts = json.loads(index.read_text())
    return Fixtures(root, {one["name"]: _served(root, one) for one in facts["variants"]}, _served(root, facts["small"]))


def _sources() -> str:
    """Digest of the package that exports and judges: another set of variants is another set of fixtures."""
    folder = Path(chexpert.__path__[0]) / "optimise"
    return of_bytes(b"".join(file.read_bytes() for file in sorted(folder.glob("*.py"))))


def _served(root: Path, fields: dict[str, Any]) -> Served:
    return Served(**{**fields, "folder": root / fields["folder"]})


def _write_index(index: Path, stamp: Mapping[str, Any], variants: Sequence[Served], small: Served) -> None:
    plain = [
        {**{f: getattr(one, f) for f in Served.__slots__}, "folder": str(one.folder.relative_to(index.parent))}
        for one in (*variants, small)
    ]
    index.write_text(json.dumps({"stamp": stamp, "variants": plain[:-1], "small": plain[-1]}, indent=2))


def _build(root: Path) -> tuple[list[Served], Served]:
    from bench.serving.trained import LARGE, SMALL, described, trained  # noqa: PLC0415 -- torch is loaded only to build

    from chexpert.optimise.settings import VariantSettings  # noqa: PLC0415 -- as above

    root.mkdir(parents=True, exist_ok=True)
    _write_jpegs(root / "jpeg", np.random.default_rng(5))
    settings = VariantSettings(latency_runs=20, batches=(1, 4), throughput_runs=2, rounds=200)
    made = []
    for recipe, variants in ((LARGE, settings.variants), (SMALL, (FP32,))):
        evaluated = trained(root / "trained", recipe)
        seen = evaluated.shards.find(evaluated.manifest.column("sha256")[evaluated.manifest.rows("valid")[:ASKED]])
        np.save(root / f"pixels-{recipe.size}.npy", evaluated.shards.take(seen))
        (root / "trained" / f"{recipe.network}.json").write_text(json.dumps(described(evaluated), indent=2))
        graphs = root / "variants" / recipe.network
        graphs.mkdir(parents=True, exist_ok=True)
        comparison = evaluated.compare(graphs, replace(settings, variants=variants))
        made.append([_bundle(root, evaluated, row) for row in comparison.rows if not row.unavailable])
    return made[0], replace(made[1][0], name="small-cnn")


def _bundle(root: Path, evaluated: Any, row: Any) -> Served:
    ref = evaluated.bundle(row, str(root / "bundles"))
    return Served(row.name, Path(ref.uri), ref.digest, row.runtime, row.lost, row.score_change_max)


def _write_jpegs(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(ASKED):
        sink = BytesIO()
        Pillow.fromarray(draw(rng, size=JPEG_SIDE).pixels).save(sink, "JPEG", quality=90)
        (folder / f"{number:02}.jpg").write_bytes(sink.getvalue())
