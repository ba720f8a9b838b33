"""Simulate 10^6 studies of each reading room of QuCAD's table, hold them against the closed forms, and time them.

Writes bench/results/reading_queue.json. Processor seconds, both orders and the drawing of arrivals included.

Run: .venv/bin/python bench/reading_queue.py
"""

import time
from typing import Any, Final

import numpy as np
from _saving import save

from chexpert.simulator.benefit import QueueSettings, compare
from chexpert.simulator.closed_forms import StudyClass, first_come, non_preemptive, preemptive

STUDIES: Final = 1_000_000
READ_MINUTES: Final = 10.0
ROOMS: Final = (
    # load, prevalence, sensitivity, specificity, readers, preemptive
    (0.8, 0.1, 0.95, 0.9, 1, True),
    (0.8, 0.1, 0.90, 0.9, 1, True),
    (0.5, 0.1, 0.95, 0.9, 1, True),
    (0.3, 0.1, 0.95, 0.9, 1, True),
    (0.9, 0.1, 0.95, 0.9, 1, True),
    (0.8, 0.05, 0.95, 0.9, 1, True),
    (0.8, 0.2, 0.95, 0.9, 1, True),
    (0.8, 0.3, 0.70, 0.95, 1, True),
    (0.8, 0.1, 0.95, 0.9, 2, True),
    (0.8, 0.1, 0.95, 0.9, 3, True),
    (0.8, 0.1, 0.95, 0.9, 1, False),
    (0.8, 0.1, 0.95, 0.9, 2, False),
    (0.8, 0.3, 0.70, 0.95, 2, True),
)


def main() -> None:
    """Measure, print, write."""
    rows = [
        room(
            QueueSettings(
                load=load,
                prevalence=prevalence,
                readers=readers,
                read_minutes=READ_MINUTES,
                is_preemptive=is_preemptive,
                studies=STUDIES,
            ),
            se,
            sp,
        )
        for load, prevalence, se, sp, readers, is_preemptive in ROOMS
    ]
    save("reading_queue", {"what": f"{STUDIES} studies per room, one seed", "rooms": rows}, ("numpy",))


def room(settings: QueueSettings, se: float, sp: float) -> dict[str, Any]:
    """One room: seconds, and the distance of each mean wait from its closed form in standard errors."""
    began = time.process_time()
    seen = compare(settings, se, sp, np.random.default_rng(0))
    seconds = time.process_time() - began
    flagged = settings.prevalence * se + (1.0 - settings.prevalence) * (1.0 - sp)
    classes = [StudyClass(settings.per_minute * share, READ_MINUTES) for share in (flagged, 1.0 - flagged)]
    first, second = (preemptive if settings.is_preemptive else non_preemptive)(classes, settings.readers)
    expected = {
        "first_come": first_come(classes, settings.readers),
        "flagged": first,
        "unflagged": second,
        "diseased": se * first + (1.0 - se) * second,
        "healthy": (1.0 - sp) * first + sp * second,
    }
    groups = {name: getattr(seen, name) for name in expected}
    row = {
        "room": f"load {settings.load}, prevalence {settings.prevalence}, Se {se}, Sp {sp}, {settings.readers} readers",
        "is_preemptive": settings.is_preemptive,
        "seconds": round(seconds, 2),
        "minutes": {name: round(group.mean, 4) for name, group in groups.items()},
        "closed_form": {name: round(value, 4) for name, value in expected.items()},
        "standard_errors_off": {
            name: round((group.mean - expected[name]) / group.error, 2) for name, group in groups.items()
        },
    }
    print(row["seconds"], "s", row["room"], row["standard_errors_off"])
    return row


if __name__ == "__main__":
    main()
