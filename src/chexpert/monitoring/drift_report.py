"""The one place where Evidently is used: Kolmogorov-Smirnov, by name, at the threshold it is given."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KsReport", "ks_report"]

Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class KsReport:
    """Evidently's answer."""

    p_values: Mapping[str, float]
    """By column."""
    threshold: float
    """The one Evidently used, read back from its result."""
    snapshot: Any

    def page(self) -> str:
        """The report as one HTML page (some 4 MB: its plotting library is in it, nothing is loaded from outside)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            html: str = self.snapshot.get_html_str(as_iframe=False)
        return html


def ks_report(current: Columns, reference: Columns, threshold: float) -> KsReport:
    """Compare columns of the same names. The import takes 9 s, a report of 19 columns about 1 s.

    Args:
        current: Values by column, without NaN, at least one each.
        reference: Likewise; lengths may differ.
        threshold: P value under which a column counts as drifted, already corrected over the columns.
    """
    with warnings.catch_warnings():
        # Evidently 0.7.23 imports parts of NumPy and Litestar that warn of their own removal; nothing we can change.
        warnings.simplefilter("ignore")
        import pandas as pd  # noqa: PLC0415 - heavy: only where drift is computed
        from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - 9 s
        from evidently.metrics import ValueDrift  # noqa: PLC0415 - with it

        names = list(current)
        definition = DataDefinition(numerical_columns=names)
        # Columns of different lengths (a NaN dropped in one) are padded with NaN, which Evidently drops again.
        frames = [
            Dataset.from_pandas(
                pd.DataFrame({name: pd.Series(values[name]) for name in names}), data_definition=definition
            )
            for values in (current, reference)
        ]
        report = Report([ValueDrift(column=name, method="ks", threshold=threshold) for name in names])
        snapshot = report.run(frames[0], frames[1])
        metrics = snapshot.dict()["metrics"]
    used = {metric["config"]["threshold"] for metric in metrics}
    return KsReport(
        p_values={metric["config"]["column"]: float(metric["value"]) for metric in metrics},
        threshold=min(used),
        snapshot=snapshot,
    )
