"""From a trained network to the one file that is served: export, quantise, measure each variant, choose one.

No training and no writing of bundles here; a variant that loses something is refused with the reason.
"""

__all__ = [
    "activations",
    "algebra",
    "blocks",
    "choice",
    "compensation",
    "correction",
    "errors",
    "export",
    "graphs",
    "kinds",
    "levels",
    "measure",
    "mixed",
    "page",
    "parity",
    "quantise",
    "settings",
    "stem",
    "triton",
    "triton_model",
    "variants",
]
