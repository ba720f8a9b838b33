"""What flows between the nodes of a graph, seen on real images."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.interface import INPUT
from chexpert.bundle.onnxruntime_engine import inference_session

__all__ = ["batches"]

_BATCH: Final = 4
"""Images at once: of a DenseNet-121 at 320 px all values together take some 60 MB for each."""


def batches(
    model: onnx.ModelProto, names: Sequence[str], pixels: NDArray[np.uint8], *, threads: int
) -> Iterator[dict[str, NDArray[Any]]]:
    """These values, by name, for a few images at a time.

    Args:
        model: Computed by ONNX Runtime.
        names: Of values in it.
        pixels: (n, 1, H, W).
        threads: As `VariantSettings.threads`.
    """
    told = deepcopy(model)
    del told.graph.output[:]
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = inference_session(told.SerializeToString(), threads or available_cpus())
    for start in range(0, len(pixels), _BATCH):
        found = session.run(list(names), {INPUT: pixels[start : start + _BATCH]})
        yield dict(zip(names, found, strict=True))
