"""Does the exported file answer as torch does?"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit

from chexpert.bundle.sessions import Session
from chexpert.domain.observations import OBSERVATIONS
from chexpert.optimise.export import Served

__all__ = ["batched", "logits_of", "max_abs", "session_scores", "torch_scores"]

Scores = NDArray[np.float32]
Source = Callable[[slice], NDArray[np.uint8]]
"""Pixels (m, 1, H, W) of a part of the images: they need not all be in memory."""
_LEAST: Final = 1e-6
"""Scores nearer to 0 or 1 count as this: float32 has few numbers there, whose logits would outweigh the others."""


def torch_scores(served: Served, images: Source, count: int, batch: int = 8) -> Scores:
    """Scores (n, 14) by torch, in eval mode."""
    served.eval()

    def answer(pixels: NDArray[np.uint8]) -> Scores:
        with torch.inference_mode():
            scores: Scores = served(torch.from_numpy(pixels)).numpy()
        return scores

    return batched(answer, images, count, batch)


def session_scores(session: Session, images: Source, count: int, batch: int = 1) -> Scores:
    """Scores (n, 14) by the runtime that is served: each image by itself: some graphs' scores move with a batch."""
    return batched(session.run, images, count, batch)


def batched(answer: Callable[[NDArray[np.uint8]], Scores], images: Source, count: int, batch: int) -> Scores:
    """Answers to all images, a batch at a time."""
    parts = [answer(images(slice(start, min(start + batch, count)))) for start in range(0, count, batch)]
    return np.concatenate(parts) if parts else np.empty((0, len(OBSERVATIONS)), np.float32)


def logits_of(scores: Scores) -> NDArray[np.float64]:
    """Logits (n, 14) of calibrated scores."""
    logits: NDArray[np.float64] = logit(np.clip(scores.astype(np.float64), _LEAST, 1.0 - _LEAST))
    return logits


def max_abs(a: Scores, b: Scores) -> float:
    """Largest difference of any score; infinity where one of them is not finite, 0 without images."""
    if not len(a):
        return 0.0
    difference = float(np.abs(a - b).max())
    return difference if np.isfinite(difference) else float("inf")
