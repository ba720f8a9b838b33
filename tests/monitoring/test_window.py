"""Reading the inference log."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from chexpert.domain.records import Outcome
from chexpert.monitoring import window
from chexpert.monitoring.errors import BrokenPart
from chexpert.testing.logs import Behaviour, Population, write_part

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_only_what_counts_is_read(tmp_path: Path, population: Population, rng: np.random.Generator) -> None:
    """Rows of other versions, from before, after, shadow replays and rejected requests are left out."""
    objects = str(tmp_path)

    def part(version: str, behaviour: Behaviour, start: datetime, rows: int = 50) -> None:
        write_part(objects, version, population, behaviour, rows=rows, start=start, seconds=10, rng=rng)

    part("v1", Behaviour(), NOON)
    part("v1", Behaviour(), NOON - timedelta(minutes=1))
    part("v1", Behaviour(), NOON + timedelta(minutes=5))
    part("v1", Behaviour(shadow=True), NOON)
    part("v1", Behaviour(rejected=1.0), NOON)
    part("v2", Behaviour(faults=1.0, fault=Outcome.NOT_A_NUMBER), NOON, rows=7)
    windows = window.read(objects, NOON, ["v1", "v2", "v3"], until=NOON + timedelta(minutes=1))
    assert [(w.requests, w.faults) for w in windows.values()] == [(50, 0), (7, 7), (0, 0)]
    assert windows["v1"].scores.shape == (50, 14)
    assert windows["v1"].statistics.shape == (50, 5)
    assert len(windows["v1"].images) == len(windows["v1"].flags) == 50
    assert windows["v2"].outcomes == {Outcome.NOT_A_NUMBER: 7}
    assert windows["v2"].scores.shape == (0, 14)
    assert windows["v2"].latencies_ms.shape == (7,)


def test_midnight_divides_nothing(tmp_path: Path, population: Population, rng: np.random.Generator) -> None:
    """A window that reaches over midnight reads both days' folders."""
    late = datetime(2026, 5, 1, 23, 59, 55, tzinfo=UTC)
    for start in (late, late + timedelta(seconds=10)):
        write_part(str(tmp_path), "v1", population, Behaviour(), rows=10, start=start, seconds=1, rng=rng)
    assert window.read(str(tmp_path), late, ["v1"])["v1"].requests == 20


def test_memory_is_bounded_and_counts_are_not(tmp_path: Path, population: Population, rng: np.random.Generator) -> None:
    """Of many rows only the newest are kept, whatever order the parts have; every one is counted."""
    times = [NOON + timedelta(minutes=m) for m in (3, 0, 2, 1, 4)]
    newest: tuple[str, ...] = ()
    for start in times:
        newest = write_part(str(tmp_path), "v1", population, Behaviour(), rows=40, start=start, seconds=9, rng=rng)
    kept = window.read(str(tmp_path), NOON, ["v1"], rows_kept=15)["v1"]
    assert kept.requests == 200
    assert kept.images == newest[-15:]
    assert kept.newest(4).images == newest[-4:]
    assert kept.newest(4).requests == 200


def test_a_part_under_way_is_not_read_and_a_broken_one_is_named(tmp_path: Path) -> None:
    """Temporary names are passed over; a part that is no Parquet is an error that names it; no log is no answers."""
    assert window.read(str(tmp_path), NOON, ["v1"])["v1"].requests == 0
    folder = tmp_path / "log" / "2026-05-01" / "v1"
    folder.mkdir(parents=True)
    (folder / "pod-1.parquet.tmp").write_bytes(b"half")
    assert window.read(str(tmp_path), NOON, ["v1"])["v1"].requests == 0
    (folder / "pod-1.parquet").write_bytes(b"half")
    with pytest.raises(BrokenPart, match=r"pod-1\.parquet"):
        window.read(str(tmp_path), NOON, ["v1"])
