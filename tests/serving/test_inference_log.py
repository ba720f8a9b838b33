"""The inference log, without a server."""

import time
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.records import InferenceRecord, Outcome
from chexpert.serving.inference_log import SCHEMA, InferenceLog, records_to_table, table_to_columns
from chexpert.serving.settings import LogSettings

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def record(version: str = "v1", *, at: datetime = NOON, outcome: Outcome = Outcome.OK) -> InferenceRecord:
    answered = outcome is Outcome.OK
    return InferenceRecord(
        time=at,
        request="r1",
        image_sha256="0" * 64,
        version=version,
        shadow=False,
        latency_ms=12.5,
        outcome=outcome,
        scores=tuple(i / 14 for i in range(14)) if answered else None,
        priority=0.5 if answered else None,
        flag="Edema" if answered else "",
        statistics=(0.1, 0.2, 0.3, 0.4, 1.2) if answered else None,
        view="frontal",
    )


def parts(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


def test_a_table_holds_what_the_records_held() -> None:
    """Each field is a column of its name; what a failed request lacks is null, and NaN in numpy."""
    table = records_to_table([record(), record(outcome=Outcome.ERROR)])
    assert table.schema.equals(SCHEMA)
    columns = table_to_columns(table)
    assert columns["time"][0] == np.datetime64("2026-11-22T12:00:00")
    assert columns["outcome"].tolist() == ["ok", "error"]
    assert columns[OBSERVATIONS[7]][0] == pytest.approx(0.5)
    assert np.isnan([columns[OBSERVATIONS[7]][1], columns["priority"][1], columns["aspect"][1]]).all()
    assert records_to_table([]).num_rows == 0


def test_a_part_closes_at_its_rows(tmp_path: Path) -> None:
    """1,000 rows (here 10) close a part without waiting for the clock."""
    log = InferenceLog(str(tmp_path), "pod", LogSettings(close_rows=10, close_s=60.0))
    log.append([record() for _ in range(10)])
    until = time.monotonic() + 5.0
    while not parts(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    assert [pq.read_table(part).num_rows for part in parts(tmp_path)] == [10]
    log.close()


def test_a_part_closes_at_its_age(tmp_path: Path) -> None:
    """One row is readable after `close_s`, without another coming."""
    log = InferenceLog(str(tmp_path), "pod", LogSettings(close_s=0.2))
    log.append([record()])
    time.sleep(0.05)
    assert not parts(tmp_path)
    until = time.monotonic() + 5.0
    while not parts(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    assert len(parts(tmp_path)) == 1
    log.close()


def test_parts_lie_by_date_and_version_and_none_is_partial(tmp_path: Path) -> None:
    """Closing writes the rest: one part per date and version, and no temporary name is left."""
    log = InferenceLog(str(tmp_path), "pod")
    log.append([record("v1"), record("v2"), record("v1", at=NOON.replace(day=23))])
    log.close()
    found = {part.relative_to(tmp_path).parent.as_posix() for part in parts(tmp_path)}
    assert found == {"log/2026-11-22/v1", "log/2026-11-22/v2", "log/2026-11-23/v1"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".parquet"]


def test_an_object_store_gets_the_same_parts() -> None:
    """Any fsspec URL is written to, here memory://."""
    log = InferenceLog("memory://objects", "pod")
    log.append([record()])
    log.close()
    filesystem = fsspec.filesystem("memory")
    (path,) = filesystem.glob("/objects/log/2026-11-22/v1/*.parquet")
    with filesystem.open(path) as stream:
        assert pq.read_table(stream).num_rows == 1


def test_a_store_that_is_away_loses_nothing_when_it_returns(tmp_path: Path) -> None:
    """Rows of a failed write are kept and written later."""
    blocked = tmp_path / "log"
    blocked.write_text("a file where a folder must be")
    log = InferenceLog(str(tmp_path), "pod", LogSettings(close_s=0.05))
    log.append([record(), record()])
    time.sleep(0.3)
    blocked.unlink()
    log.append([record()])
    log.close()
    assert sum(pq.read_table(part).num_rows for part in parts(tmp_path)) == 3
