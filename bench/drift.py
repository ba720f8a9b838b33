"""False alarms of the drift test, counted over whole Evidently reports on windows of one distribution.

Run: python bench/drift.py [rounds]. Beside our rule it counts Evidently's own default for the same windows.
"""

import sys
import time
import warnings

import numpy as np
from _saving import save
from rich.console import Console
from rich.table import Table

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import STATISTICS
from chexpert.monitoring.drift_report import ks_report

COLUMNS = (*(str(o) for o in OBSERVATIONS), *STATISTICS)
SIZES = ((40, 360), (40, 40), (200, 2_000), (2_000, 2_000))
"""Rows of the canary and of the stable: the demo's 10 and 50 percent, and production's."""
ALPHA = 0.05


def draw(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Scores (beta) and image statistics (normal), correlated over the columns as of one image."""
    common = rng.normal(0.0, 1.0, (rows, 1))
    mixed = 0.6 * common + 0.8 * rng.normal(0.0, 1.0, (rows, len(COLUMNS)))
    return {name: 1.0 / (1.0 + np.exp(-mixed[:, i] + 2.0)) for i, name in enumerate(COLUMNS)}


def default_alarm(current: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> bool:
    """Whether Evidently with no method named calls any column drifted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd  # noqa: PLC0415 - heavy, and full of warnings
        from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - likewise
        from evidently.presets import DataDriftPreset  # noqa: PLC0415 - likewise

        definition = DataDefinition(numerical_columns=list(COLUMNS))
        one, other = (Dataset.from_pandas(pd.DataFrame(d), data_definition=definition) for d in (current, reference))
        first = Report([DataDriftPreset()]).run(one, other).dict()["metrics"][0]
    return bool(first["value"]["count"] > 0)


def main(rounds: int) -> None:
    """Print one row for each pair of sizes."""
    rng = np.random.default_rng(0)
    rows = []
    table = Table("canary", "stable", "rounds", "false alarms, KS at 0.05/19", "Evidently's default", "s a report")
    for canary, stable in SIZES:
        alarms = defaults = 0
        started = time.perf_counter()
        for _ in range(rounds):
            current, reference = draw(rng, canary), draw(rng, stable)
            report = ks_report(current, reference, ALPHA / len(COLUMNS))
            alarms += min(report.p_values.values()) < report.threshold
        seconds = (time.perf_counter() - started) / rounds
        few = max(1, rounds // 10)
        defaults = sum(default_alarm(draw(rng, canary), draw(rng, stable)) for _ in range(few))
        rows.append(
            {"canary": canary, "stable": stable, "rounds": rounds, "alarms": alarms, "default": f"{defaults} of {few}"},
        )
        table.add_row(
            str(canary),
            str(stable),
            str(rounds),
            f"{alarms} ({alarms / rounds:.1%})",
            f"{defaults} of {few}",
            f"{seconds:.2f}",
        )
    Console().print(table)
    save("drift", {"what": "false alarms on windows of one distribution, KS at 0.05/19", "rows": rows}, ("evidently",))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
