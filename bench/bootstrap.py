"""Time the patient bootstrap against a loop over scikit-learn's roc_auc_score; write bench/results/bootstrap.json.

The loop is what evaluation scripts commonly do: draw patients, gather the rows, score each observation. A few of its
rounds are timed and multiplied; ours runs all 1,000. Both in turn, several times, medians.

Run: .venv/bin/python bench/bootstrap.py
"""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy as np
from _saving import save
from sklearn.metrics import roc_auc_score

from chexpert.evaluation.bootstrap import bootstrap

IMAGES: Final = 25_000
PATIENTS: Final = 7_200
ROUNDS: Final = 1_000
LOOP_ROUNDS: Final = 10
REPEATS: Final = 5
PREVALENCE: Final = (0.10, 0.05, 0.12, 0.47, 0.04, 0.23, 0.07, 0.03, 0.15, 0.09, 0.39, 0.02, 0.04, 0.52)
"""Share of positives in CheXpert's training set, by observation."""


def main() -> None:
    """Measure, print, write."""
    rng = np.random.default_rng(0)
    labels = (rng.random((IMAGES, len(PREVALENCE))) < PREVALENCE).astype(np.float32)
    scores = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    patients = rng.integers(0, PATIENTS, IMAGES)
    ours, loops = [], []
    for repeat in range(REPEATS):
        ours.append(seconds(lambda: bootstrap(labels, scores, patients, rounds=ROUNDS)))
        loops.append(seconds(lambda: loop(labels, scores, patients)) * ROUNDS / LOOP_ROUNDS)
        print(f"{repeat + 1}/{REPEATS}: {ours[-1]:.2f} s, loop {loops[-1]:.1f} s")
    result = {
        "what": f"{ROUNDS} patient bootstraps of {len(PREVALENCE)} AUROCs on {IMAGES} images of {PATIENTS} patients",
        "ours_s_median": round(statistics.median(ours), 3),
        "ours_s": [round(value, 3) for value in ours],
        "loop_s_median": round(statistics.median(loops), 1),
        "loop_s": [round(value, 1) for value in loops],
        "loop_rounds_timed": LOOP_ROUNDS,
        "ratio": round(statistics.median(loops) / statistics.median(ours), 1),
    }
    save("bootstrap", result, ("numpy", "scipy", "scikit-learn"))


def loop(labels: Any, scores: Any, patients: Any) -> None:
    """LOOP_ROUNDS rounds with scikit-learn."""
    rng = np.random.default_rng(0)
    order = np.argsort(patients, kind="stable")
    ends = np.searchsorted(patients[order], np.arange(PATIENTS + 1))
    images = [order[a:b] for a, b in pairwise(ends)]
    for _ in range(LOOP_ROUNDS):
        rows = np.concatenate([images[patient] for patient in rng.integers(0, PATIENTS, PATIENTS)])
        for column in range(labels.shape[1]):
            roc_auc_score(labels[rows, column], scores[rows, column])


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
