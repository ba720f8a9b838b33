"""ETL of 2,500 px JPEGs against Pillow's DCT-scaled decode alone, both on all cores, alternating.

Run with `python bench/etl.py`. Writes bench/results/etl.json; a minute or two on two cores, half a gigabyte of
temporary disk.
"""

import os
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from _saving import save
from PIL import Image

from chexpert.data.manifest import Manifest
from chexpert.data.phantoms import draw
from chexpert.data.shards import build
from chexpert.imaging.preprocess import PreprocessSpec

IMAGES = 300
PICTURES = 20
WIDTH, HEIGHT = 2500, 2048
SIZE = 320
ROUNDS = 5


def main() -> None:
    """Draw the files, alternate both, print and save."""
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write(folder)
        paths = [str(path) for path in manifest.column("image_path")]
        decode_s, etl_s = [], []
        for number in range(ROUNDS):
            decode_s.append(decode_alone(paths, workers))
            began = perf_counter()
            kept, _, refused = build(
                manifest, str(folder / f"shards{number}"), PreprocessSpec(size=SIZE), workers=workers
            )
            etl_s.append(perf_counter() - began)
            if refused or len(kept) != IMAGES:
                sys.exit(f"{len(refused)} images were refused: {refused[0]}")
            print(f"round {number + 1}: decode alone {IMAGES / decode_s[-1]:.0f}/s, ETL {IMAGES / etl_s[-1]:.0f}/s")
    ratios = [decode / etl for decode, etl in zip(decode_s, etl_s, strict=True)]
    result = {
        "what": f"{IMAGES} JPEGs of {WIDTH}x{HEIGHT} px to {SIZE} px shards, start of processes included in both",
        "images_per_s": {"decode alone": round(IMAGES / median(decode_s), 1), "etl": round(IMAGES / median(etl_s), 1)},
        "ratio_median": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "peak_memory_of_a_process_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }
    save("etl", result, ("pillow", "numpy"))


def write(folder: Path) -> Manifest:
    """Files that differ in a few bytes after the image: each is decoded, and few need drawing."""
    paths, digests = [], []
    for number in range(IMAGES):
        if number < PICTURES:
            encoded = picture(number)
            (folder / f"picture{number}").write_bytes(encoded)
        data = (folder / f"picture{number % PICTURES}").read_bytes() + number.to_bytes(4)
        path = folder / f"{number}.jpg"
        path.write_bytes(data)
        paths.append(str(path))
        digests.append(sha256(data).hexdigest())
    return Manifest.of({"image_path": paths, "sha256": digests}, IMAGES)


def picture(seed: int) -> bytes:
    """A phantom enlarged to a detector's size, with a detector's noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(draw(rng, size=256).pixels)
    large = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
    noisy = np.clip(large + 4 * rng.standard_normal(large.shape, np.float32), 0, 255).astype(np.uint8)
    stream = BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def decode_alone(paths: list[str], workers: int) -> float:
    """Seconds for reading and decoding at the same DCT scale, nothing else."""
    began = perf_counter()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for _ in pool.map(decode, paths, chunksize=32):
            pass
    return perf_counter() - began


def decode(path: str) -> int:
    """Pixels decoded."""
    with Image.open(BytesIO(Path(path).read_bytes())) as image:
        image.draft("L", (SIZE, round(SIZE * HEIGHT / WIDTH)))
        image.load()
        return image.width * image.height


if __name__ == "__main__":
    main()
