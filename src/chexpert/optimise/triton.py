"""A bundle as a model repository for Triton: its graph by the ONNX Runtime backend, and whole images by the Python one.

Model configuration: github.com/triton-inference-server/common, protobuf/model_config.proto. Several GPUs: not seen.
"""

import json
import shutil
from pathlib import Path
from typing import Final

from chexpert.bundle.card import MODEL
from chexpert.bundle.interface import INPUT, OUTPUT
from chexpert.bundle.sessions import ONNXRUNTIME
from chexpert.bundle.store import Bundle
from chexpert.domain.observations import OBSERVATIONS
from chexpert.optimise import triton_model
from chexpert.optimise.errors import NotForTriton

__all__ = ["GRAPH_MODEL", "IMAGE_MODEL", "write_repository"]

GRAPH_MODEL: Final = "chexpert-pixels"
"""uint8 pixels in, by Triton's own ONNX Runtime backend."""
IMAGE_MODEL: Final = "chexpert"
"""Encoded images in, by the Python backend, which decodes and preprocesses as our server does."""

_BATCH: Final = 16
_QUEUE_DELAY_US: Final = 2000
_VERSION: Final = "1"


def write_repository(bundle: Bundle, folder: Path, *, gpus: int = 0, instances: int = 1) -> None:
    """Write both models into `folder`, replacing those that lie there.

    Args:
        bundle: Verified.
        folder: Triton's `--model-repository`.
        gpus: Each gets its own instances of the graph; 0: the CPU.
        instances: Copies of each model, per GPU of the graph's.

    Raises:
        NotForTriton: The bundle's variant needs another runtime.
        BrokenBundle: Its graph is no more the one that was verified.
        ValueError: A count makes no sense.
    """
    variant = bundle.card.variant
    if variant.runtime != ONNXRUNTIME:
        raise NotForTriton(bundle.digest, variant.runtime)
    if gpus < 0 or instances < 1:
        msg = f"{gpus} GPUs and {instances} instances: at least 0 and 1 are needed"
        raise ValueError(msg)
    size = bundle.card.preprocess.size
    graph = bundle.read_model()
    models = {GRAPH_MODEL: _graph_config(size, gpus, instances), IMAGE_MODEL: _image_config(instances)}
    for name, config in models.items():
        target = folder / name
        if target.exists():
            shutil.rmtree(target)
        (target / _VERSION).mkdir(parents=True)
        (target / "config.pbtxt").write_text(config, encoding="utf-8")
        (target / _VERSION / MODEL).write_bytes(graph)
    version = folder / IMAGE_MODEL / _VERSION
    shutil.copyfile(triton_model.__file__, version / "model.py")
    facts = {"preprocess": bundle.card.preprocess.to_dict(), "digest": bundle.digest, "graph": MODEL}
    (version / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _graph_config(size: int, gpus: int, instances: int) -> str:
    group = f"kind: KIND_GPU gpus: [ {', '.join(map(str, range(gpus)))} ]" if gpus else "kind: KIND_CPU"
    return f"""name: "{GRAPH_MODEL}"
backend: "onnxruntime"
max_batch_size: {_BATCH}
input [ {{ name: "{INPUT}" data_type: TYPE_UINT8 dims: [ 1, {size}, {size} ] }} ]
output [ {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ {len(OBSERVATIONS)} ] }} ]
dynamic_batching {{ preferred_batch_size: [ 4, 8, {_BATCH} ] max_queue_delay_microseconds: {_QUEUE_DELAY_US} }}
instance_group [ {{ count: {instances} {group} }} ]
"""


def _image_config(instances: int) -> str:
    return f"""name: "{IMAGE_MODEL}"
backend: "python"
max_batch_size: {_BATCH}
input [ {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [ {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ {len(OBSERVATIONS)} ] }} ]
dynamic_batching {{ max_queue_delay_microseconds: {_QUEUE_DELAY_US} }}
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
"""
