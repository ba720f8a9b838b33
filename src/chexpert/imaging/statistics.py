"""Five numbers of an image that know nothing of anatomy: for the drift report and the shortcut baseline."""

import numpy as np

from chexpert.imaging.image import Image

__all__ = ["statistics"]


def statistics(image: Image) -> tuple[float, float, float, float, float]:
    """Mean, standard deviation, 5th and 95th percentile of the grey levels in [0, 1], and width over height.

    In the order of `chexpert.domain.records.STATISTICS`. Percentiles are grey levels that occur (lower neighbour).
    """
    counts = np.bincount(image.pixels.ravel(), minlength=256)
    levels = np.arange(256) / 255.0
    total = counts.sum()
    mean = float((counts * levels).sum() / total)
    variance = float((counts * (levels - mean) ** 2).sum() / total)
    below = np.cumsum(counts)
    p5, p95 = (float(levels[np.searchsorted(below, share * total)]) for share in (0.05, 0.95))
    return mean, variance**0.5, p5, p95, image.width / image.height
