"""Arrays in, verdict out: discrimination, calibration, operating points, slices, and the gate of a candidate.

No torch, no model, no image, no MLflow: whoever calls brings labels and scores. Nothing here decides what is served.
"""

__all__ = [
    "auroc",
    "baseline",
    "bootstrap",
    "calibration",
    "comparison",
    "evaluation",
    "gates",
    "inputs",
    "operating",
    "page",
    "plots",
    "profiles",
    "ranking",
    "report",
    "slices",
    "special",
]
