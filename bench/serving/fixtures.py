"""What is served and what is asked: bundles of every variant, the network for torch, pixels and JPEGs.

Built once under var/bench/serving. Networks are trained anew when what trains them changes, variants when what exports,
runs and judges them does, or the processor: the gate judges by speed.
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
from bench._saving import processor
from numpy.typing import NDArray
from PIL import Image as Pillow

import chexpert
from chexpert.data.phantoms import draw
from chexpert.domain.digests import of_bytes

ROOT: Final = Path("var/bench/serving")
"""Where the benchmarks build and reuse them."""
NETWORK: Final = "densenet121"
"""The large network, which the ratios are about."""
SIZE: Final = 320
"""Side of its image, pixels."""
SMALL_NETWORK: Final = "small-cnn"
SMALL_SIZE: Final = 64
"""Side of the small network's image, pixels."""
JPEG_SIDE: Final = 1024
ASKED: Final = 16
"""Different images in the requests."""
FP32: Final = "fp32"

_LAYOUT: Final = 8
"""Raised when what is built here changes."""
_TRAINING: Final = ("data", "evaluation", "imaging", "networks", "training")
"""Parts of the product that decide what a network learns, and how it is judged."""
_TRAINED_BY: Final = ("torch", "timm")
_EXPORTED_BY: Final = ("onnx", "onnxscript", "onnxruntime", "openvino")


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
    plain: Served
    """fp32 as torch exports it, before `chexpert.optimise` takes operations out: what the peers are given."""
    small: Served

    @property
    def chosen(self) -> str:
        """Name of the variant that the gate takes."""
        return next(one.name for one in self.variants.values() if not one.lost)

    @property
    def network(self) -> Path:
        """Folder of the network for torch, with calibration.json in it."""
        return self.root / "trained" / NETWORK / "network"

    def pixels(self, size: int = SIZE) -> NDArray[np.uint8]:
        """Images that are asked about, uint8 (ASKED, 1, size, size)."""
        loaded: NDArray[np.uint8] = np.load(self.root / f"pixels-{size}.npy")
        return loaded

    def jpegs(self) -> list[bytes]:
        """The same number of radiographs as JPEG files of JPEG_SIDE pixels."""
        return [path.read_bytes() for path in sorted((self.root / "jpeg").iterdir())]


def fixtures(root: Path) -> Fixtures:
    """Build them, or reuse what lies there and is of these versions."""
    root = root.resolve()  # servers take a relative folder for one among their objects
    root.mkdir(parents=True, exist_ok=True)
    training = {"layout": _LAYOUT, "sources": _digest(*_TRAINING), **_versions(_TRAINED_BY)}
    stamp = {**training, "judging": _digest("bundle", "optimise"), "processor": processor(), **_versions(_EXPORTED_BY)}
    _clear_unless(root, "trained.json", training, keep=())
    _clear_unless(root, "variants.json", stamp, keep=("trained", "trained.json"))
    index = root / "index.json"
    if not index.exists():
        print(f"building fixtures in {root}: takes minutes, once")
        _write_index(index, **_build(root))
    facts = json.loads(index.read_text())
    variants = {one["name"]: _served(root, one) for one in facts["variants"]}
    return Fixtures(root, variants, _served(root, facts["plain"]), _served(root, facts["small"]))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    return {package: version(package) for package in packages}


def _digest(*packages: str) -> str:
    """Of the sources of these parts of the product."""
    source = Path(chexpert.__path__[0])
    files = sorted(file for package in packages for file in (source / package).rglob("*.py"))
    return of_bytes(b"".join(file.read_bytes() for file in files))


def _clear_unless(root: Path, name: str, stamp: Mapping[str, str | int], *, keep: Sequence[str]) -> None:
    """Remove what was built under another stamp; a build that was broken off is gone on with."""
    file = root / name
    if file.exists() and json.loads(file.read_text()) != stamp:
        for path in root.iterdir():
            if path.name not in keep:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    file.write_text(json.dumps(stamp, indent=2))


def _served(root: Path, fields: dict[str, Any]) -> Served:
    return Served(**{**fields, "folder": root / fields["folder"]})


def _write_index(index: Path, variants: Sequence[Served], plain: Served, small: Served) -> None:
    def fields(one: Served) -> dict[str, Any]:
        values = {name: getattr(one, name) for name in Served.__slots__}
        return {**values, "folder": str(one.folder.relative_to(index.parent))}

    facts = {"variants": [fields(one) for one in variants], "plain": fields(plain), "small": fields(small)}
    index.write_text(json.dumps(facts, indent=2))


def _build(root: Path) -> dict[str, Any]:
    from bench.serving.trained import (  # noqa: PLC0415 -- torch is loaded only to build
        LARGE,
        SMALL,
        as_exported,
        described,
        trained,
    )

    from chexpert.optimise.settings import VariantSettings  # noqa: PLC0415 -- as above

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
        if recipe is LARGE:
            fp32 = next(row for row in comparison.rows if row.name == FP32)
            exported = replace(fp32, name="plain", path=as_exported(evaluated, graphs / "plain.onnx"))
            plain = _bundle(root, evaluated, exported)
    return {"variants": made[0], "plain": plain, "small": replace(made[1][0], name=SMALL_NETWORK)}


def _bundle(root: Path, evaluated: Any, row: Any) -> Served:
    ref = evaluated.bundle(row, str(root / "bundles"))
    return Served(row.name, Path(ref.uri), ref.digest, row.runtime, row.lost, row.score_change_max)


def _write_jpegs(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(ASKED):
        sink = BytesIO()
        Pillow.fromarray(draw(rng, size=JPEG_SIDE).pixels).save(sink, "JPEG", quality=90)
        (folder / f"{number:02}.jpg").write_bytes(sink.getvalue())
