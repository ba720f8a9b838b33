"""What is served and what is asked: bundles of every variant, the network for torch, pixels and JPEGs.

Built once under var/bench/serving, and anew when a version that shapes them changes. The weights are random, with
batch statistics from phantoms and a calibration that spreads the scores, so that a difference of answers shows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

import chexpert
from chexpert.bundle import reference
from chexpert.bundle.card import MODEL, REFERENCE, Card, OperatingPoint, VariantFacts
from chexpert.bundle.store import write
from chexpert.data.phantoms import draw
from chexpert.domain.digests import of_bytes
from chexpert.domain.observations import OBSERVATIONS
from chexpert.imaging.image import Image
from chexpert.imaging.preprocess import PreprocessSpec, preprocess
from chexpert.imaging.statistics import statistics

SIZE: Final = 320
"""Side of the large network's image, pixels."""
SMALL: Final = 64
"""Side of the small network's image, pixels."""
JPEG_SIDE: Final = 1024
ASKED: Final = 16
"""Different images in the requests."""
JUDGED: Final = 200
"""Images on which the gate compares the variants: fewer, and one other flag is more than the 0.5 % it allows."""
CALIBRATION: Final = 32
"""Other images, that static int8 takes the ranges of activations from."""
FP32: Final = "fp32"

_LAYOUT: Final = 5
"""Raised when what is built here changes."""
_SHAPING: Final = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "openvino")
_THRESHOLD: Final = 0.5
_SPREAD: Final = 1.5
"""Standard deviation of a calibrated logit over images."""
_CENTRE: Final = -1.0
"""Its mean: some 25 % of the scores are over one half."""


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
        return self.root / "network"

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
    if not index.exists() or json.loads(index.read_text())["stamp"] != stamp:
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
    from chexpert.optimise.settings import VariantSettings  # noqa: PLC0415 -- torch is loaded only to build
    from chexpert.optimise.variants import Images, compare  # noqa: PLC0415

    rng = np.random.default_rng(5)
    root.mkdir(parents=True, exist_ok=True)
    drawn = [
        Image(picture, picture.shape[1], picture.shape[0])
        for picture in (draw(rng, size=SIZE).pixels for _ in range(CALIBRATION + JUDGED))
    ]
    drawn, shown = drawn[CALIBRATION:], drawn[:CALIBRATION]
    _write_jpegs(root / "jpeg", rng)
    judged = {size: _stack(drawn, size) for size in (SIZE, SMALL)}
    for size, pixels in judged.items():
        np.save(root / f"pixels-{size}.npy", pixels[:ASKED])
    seen = np.array([statistics(image) for image in drawn])

    module, platt = _network(root / "network", "densenet121", judged[SIZE])
    scores = _scores(module, platt, judged[SIZE])
    labels = (rng.random(scores.shape) < scores).astype(np.float32)
    comparison = compare(
        module,
        platt,
        PreprocessSpec(size=SIZE),
        Images(lambda part: judged[SIZE][part], labels, np.arange(JUDGED), _stack(shown, SIZE)),
        thresholds=dict.fromkeys(OBSERVATIONS, _THRESHOLD),
        folder=root / "variants",
        subject="bench/serving",
        settings=VariantSettings(latency_runs=20, batches=(1, 4), throughput_runs=2, rounds=200),
    )
    variants = []
    for row in (row for row in comparison.rows if not row.unavailable):
        folder, digest = _bundle(root, SIZE, row.facts(), row.path, (scores, seen))
        lost, change = row.lost, row.score_change_max
        variants.append(Served(row.name, folder, digest, row.facts().runtime, lost, change))
    return variants, _small(root, judged[SMALL], seen)


def _small(root: Path, pixels: NDArray[np.uint8], seen: NDArray[np.float64]) -> Served:
    from chexpert.optimise.export import export  # noqa: PLC0415 -- as above

    module, platt = _network(root / "small", "small-cnn", pixels)
    path = export(module, platt, PreprocessSpec(size=SMALL), root / "variants" / "small-cnn.onnx")
    facts = VariantFacts(FP32, "float32", path.stat().st_size, 0.0, 0.0)
    folder, digest = _bundle(root, SMALL, facts, path, (_scores(module, platt, pixels), seen))
    return Served("small-cnn", folder, digest, facts.runtime, "", 0.0)


def _network(folder: Path, name: str, pixels: NDArray[np.uint8]) -> tuple[Any, Any]:
    """A random network of this name, saved with its calibration."""
    import torch  # noqa: PLC0415 -- as above

    from chexpert.evaluation.calibration import Platt  # noqa: PLC0415
    from chexpert.networks.build import as_images, build  # noqa: PLC0415
    from chexpert.networks.settings import NetworkSettings  # noqa: PLC0415
    from chexpert.networks.store import save  # noqa: PLC0415

    torch.manual_seed(3)
    settings = NetworkSettings(name=name, image_size=pixels.shape[-1])
    module = build(settings).train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # a plain mean of the batches
    parts = torch.from_numpy(pixels).split(8)
    with torch.no_grad():
        for part in parts[:4]:
            module(as_images(part))
        module.eval()
        logits = torch.cat([module(as_images(part)) for part in parts]).numpy()
    slope = _SPREAD / logits.std(axis=0)
    platt = Platt(slope.astype(np.float32), (_CENTRE - slope * logits.mean(axis=0)).astype(np.float32))
    save(module, settings, str(folder))
    (folder / "calibration.json").write_text(json.dumps(platt.to_dict()))
    return module, platt


def _scores(module: Any, platt: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    from chexpert.optimise.export import Served as Whole  # noqa: PLC0415 -- as above
    from chexpert.optimise.parity import torch_scores  # noqa: PLC0415

    scores: NDArray[np.float32] = torch_scores(Whole(module, platt), lambda part: pixels[part], len(pixels))
    return scores


def _bundle(root: Path, size: int, facts: VariantFacts, model: Path, told: tuple[Any, Any]) -> tuple[Path, str]:
    point = OperatingPoint(_THRESHOLD, 0.9, 0.95, 0.9, 60, pooled=False)
    card = Card(
        preprocess=PreprocessSpec(size=size),
        operating_points=dict.fromkeys(OBSERVATIONS, point),
        data_version="0" * 64,
        git_commit="0" * 40,
        metrics={},
        variant=facts,
        network={"name": "random", "image_size": size},
    )
    ref = write(str(root / "bundles"), card, {MODEL: model, REFERENCE: reference.encode(*told)})
    return Path(ref.uri), ref.digest


def _stack(images: Sequence[Image], size: int) -> NDArray[np.uint8]:
    spec = PreprocessSpec(size=size)
    return np.stack([preprocess(image, spec) for image in images])[:, None]


def _write_jpegs(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(ASKED):
        sink = BytesIO()
        Pillow.fromarray(draw(rng, size=JPEG_SIDE).pixels).save(sink, "JPEG", quality=90)
        (folder / f"{number:02}.jpg").write_bytes(sink.getvalue())
