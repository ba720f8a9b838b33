"""What flows between the nodes of a graph, seen on real images."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from chexpert.bundle.interface import INPUT

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
    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.output[:]
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for start in range(0, len(pixels), _BATCH):
        found = session.run(list(names), {INPUT: pixels[start : start + _BATCH]})
        yield dict(zip(names, found, strict=True))
