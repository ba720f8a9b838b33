"""A version's answers over a span of time, read from the parts of the inference log. Memory stays bounded."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import LOG_PREFIX, STATISTICS, Outcome
from chexpert.monitoring.errors import BrokenPart, ObjectsUnavailable

__all__ = ["ROWS_KEPT", "Window", "read"]

ROWS_KEPT: Final = 5_000
"""Newest rows kept per version for latencies, scores and statistics (some 1 MB); counts cover all rows."""

FAULTS: Final = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.NOT_A_NUMBER, Outcome.OUT_OF_RANGE)
"""Outcomes that count against a version."""

_SCORES: Final = [str(o) for o in OBSERVATIONS]
_COLUMNS: Final = ["time", "image_sha256", "shadow", "latency_ms", "outcome", *_SCORES, "flag", *STATISTICS]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """What one version answered. Shadow replays and rejected requests are not in it."""

    version: str
    outcomes: Mapping[Outcome, int] = field(default_factory=lambda: MappingProxyType({}))
    """How many requests ended how, all rows."""
    latencies_ms: Floats = field(default_factory=lambda: np.zeros(0))
    """(n,) of the newest rows, any outcome."""
    scores: Floats = field(default_factory=lambda: np.zeros((0, len(_SCORES))))
    """(m, 14) of the newest rows that ended well."""
    statistics: Floats = field(default_factory=lambda: np.zeros((0, len(STATISTICS))))
    """(m, 5), row by row beside `scores`."""
    flags: tuple[str, ...] = ()
    """m names, empty where nothing was flagged."""
    images: tuple[str, ...] = ()
    """m sha256."""

    @property
    def requests(self) -> int:
        """Requests that count, all rows."""
        return sum(self.outcomes.values())

    @property
    def faults(self) -> int:
        """Requests that count against the version, all rows."""
        return sum(self.outcomes.get(outcome, 0) for outcome in FAULTS)

    def newest(self, rows: int) -> Self:
        """The same counts, with only the newest `rows` of each kept array."""
        return type(self)(
            version=self.version,
            outcomes=self.outcomes,
            latencies_ms=self.latencies_ms[-rows:],
            scores=self.scores[-rows:],
            statistics=self.statistics[-rows:],
            flags=self.flags[-rows:],
            images=self.images[-rows:],
        )


def read(
    objects: str,
    since: datetime,
    versions: Sequence[str],
    *,
    until: datetime | None = None,
    rows_kept: int = ROWS_KEPT,
) -> dict[str, Window]:
    """Read the log of each version.

    Args:
        objects: Root of the objects.
        since: Rows from this time on, with its zone.
        versions: Names such as v12; each gets a window, an empty one where nothing was logged.
        until: Rows before this time; None: to the end. It also ends the days looked at (else: a day from now's log).
        rows_kept: Newest rows kept per version.

    Raises:
        BrokenPart: A part is no Parquet file or lacks columns.
        ObjectsUnavailable: The store did not answer.
    """
    return {version: _read_version(objects, version, since, until, rows_kept) for version in versions}


def _read_version(objects: str, version: str, since: datetime, until: datetime | None, rows_kept: int) -> Window:
    outcomes: Counter[Outcome] = Counter()
    kept: pa.Table | None = None
    for table in _parts(objects, version, since, until):
        for entry in pc.value_counts(table["outcome"]).to_pylist():
            outcomes[Outcome(entry["values"])] += entry["counts"]
        kept = table if kept is None else pa.concat_tables([kept, table])
        if kept.num_rows > 2 * rows_kept:
            kept = _newest(kept, rows_kept)
    return Window(version) if kept is None else _window(version, outcomes, _newest(kept, rows_kept))


def _parts(objects: str, version: str, since: datetime, until: datetime | None) -> Iterator[pa.Table]:
    filesystem, root = url_to_fs(objects)
    rule = (pc.field("time") >= _instant(since)) & ~pc.field("shadow") & (pc.field("outcome") != Outcome.REJECTED.value)
    if until is not None:
        rule &= pc.field("time") < _instant(until)
    first = since.astimezone(UTC).date()
    try:
        days = sorted(
            entry.rstrip("/").rsplit("/", 1)[-1] for entry in filesystem.ls(f"{root}/{LOG_PREFIX}", detail=False)
        )
    except FileNotFoundError:
        return
    except OSError as error:
        raise ObjectsUnavailable(objects, str(error)) from error
    last = until.astimezone(UTC).date() if until else first + timedelta(days=36525)
    for day in days:
        if not first.isoformat() <= day <= last.isoformat():
            continue
        for path in sorted(filesystem.glob(f"{root}/{LOG_PREFIX}/{day}/{version}/*.parquet")):
            table = _read_part(filesystem, path, rule)
            if table.num_rows:
                yield table


def _read_part(filesystem: Any, path: str, rule: Any) -> pa.Table:
    try:
        with filesystem.open(path, "rb") as file:
            # Statistics of the row group skip a part that is too old without reading its rows.
            return pq.read_table(file, columns=_COLUMNS, filters=rule)
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        raise BrokenPart(path, str(error)) from error
    except OSError as error:
        raise ObjectsUnavailable(path, str(error)) from error


def _newest(table: pa.Table, rows: int) -> pa.Table:
    ordered = table.sort_by("time")
    return ordered.slice(max(0, ordered.num_rows - rows))


def _window(version: str, outcomes: Mapping[Outcome, int], table: pa.Table) -> Window:
    answered = table.filter(pc.equal(table["outcome"], Outcome.OK.value))
    return Window(
        version=version,
        outcomes=MappingProxyType(dict(outcomes)),
        latencies_ms=table["latency_ms"].to_numpy().astype(np.float64),
        scores=_matrix(answered, _SCORES),
        statistics=_matrix(answered, STATISTICS),
        flags=tuple(answered["flag"].to_pylist()),
        images=tuple(answered["image_sha256"].to_pylist()),
    )


def _matrix(table: pa.Table, names: Sequence[str]) -> Floats:
    return np.stack([table[name].to_numpy().astype(np.float64) for name in names], axis=1)


def _instant(time: datetime) -> pa.Scalar:
    return pa.scalar(time.astimezone(UTC), pa.timestamp("us", tz="UTC"))
