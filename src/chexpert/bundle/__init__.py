"""Files of one variant and the card that travels with them: written once, verified by digest, opened as a session.

Here an ONNX graph answers pixels. No torch, no training, no HTTP; nothing is downloaded that a digest does not hold,
and a bundle that is not whole is refused, never repaired.
"""

__all__ = [
    "card",
    "compared",
    "cpus",
    "errors",
    "graphs",
    "interface",
    "onnxruntime_engine",
    "openvino_engine",
    "reading",
    "reference",
    "sessions",
    "store",
]
