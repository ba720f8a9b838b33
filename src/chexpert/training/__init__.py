"""From a manifest and its shards to a trained network's folder: targets, batches, augmentation, the loop, predictions.

Lightning runs the loop. Here nothing is judged, registered or exported; tracking is a protocol that others implement.
"""

__all__ = [
    "augmentation",
    "batches",
    "checkpoints",
    "errors",
    "fit",
    "loop",
    "module",
    "predict",
    "processes",
    "progress",
    "settings",
    "targets",
]
