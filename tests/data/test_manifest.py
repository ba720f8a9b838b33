from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chexpert.data.errors import UnreadableData
from chexpert.data.manifest import Manifest
from chexpert.data.summary import summary
from chexpert.domain.observations import OBSERVATIONS, Observation

rows = st.lists(
    st.fixed_dictionaries(
        {
            "patient": st.text(max_size=5),
            "sha256": st.text("0123456789abcdef", min_size=4, max_size=4),
            "age": st.none() | st.integers(0, 120),
            "Edema": st.sampled_from([1, 0, -1, None]),
        },
    ),
    max_size=8,
)


def manifest(given_rows: list[dict[str, object]]) -> Manifest:
    names = ("patient", "sha256", "age", "Edema")
    return Manifest.of({name: [row[name] for row in given_rows] for name in names}, len(given_rows))


@settings(deadline=None, max_examples=60)
@given(first=rows, second=rows)
def test_digest_is_that_of_the_rows(first: list[dict[str, object]], second: list[dict[str, object]]) -> None:
    """Equal rows give equal digests and different ones different digests, whatever lies between them."""
    assert (manifest(first).digest == manifest(second).digest) == (first == second)


def test_digest_does_not_know_where_files_lie(image_manifest: Callable[..., Manifest]) -> None:
    """The same data in another folder is the same data; another order is not."""
    here = image_manifest(3)
    there = here.replaced("image_path", ["x", "y", "z"])
    assert here.digest == there.digest
    assert here.digest != here.select([2, 1, 0]).digest


def test_chunks_do_not_change_the_digest(image_manifest: Callable[..., Manifest]) -> None:
    """How Arrow holds the rows in memory is no part of them."""
    whole = image_manifest(4)
    assert whole.select([0, 1]).joined(whole.select([2, 3])).digest == whole.digest
    assert Manifest(pa.concat_tables([whole.table.slice(0, 1), whole.table.slice(1)])).digest == whole.digest


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_what_is_written_is_read(image_manifest: Callable[..., Manifest], tmp_path: Path, scheme: str) -> None:
    """A round trip keeps every column; the digest is returned."""
    before = image_manifest(3, age=[60, None, 0], Edema=[1, None, -1])
    uri = f"{scheme}{tmp_path}/data/manifest.parquet"
    assert before.write(uri) == before.digest
    after = Manifest.read(uri)
    assert after.table.equals(before.table)
    assert after.digest == before.digest
    leftovers = list((tmp_path / "data").glob(".*")) if not scheme else []
    assert leftovers == []


def test_labels_are_fourteen_columns_with_nan_for_blank() -> None:
    """1, 0, -1 and NaN, in the order of the observations."""
    labels = manifest([{"patient": "p", "sha256": "a", "age": 1, "Edema": v} for v in (1, 0, -1, None)]).labels()
    assert labels.shape == (4, 14)
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels[:, OBSERVATIONS.index(Observation.EDEMA)], [1, 0, -1, np.nan])
    assert np.isnan(labels[:, 0]).all()


def test_columns_and_rows(image_manifest: Callable[..., Manifest]) -> None:
    """Text comes as objects, age as float with NaN, rows of a split ascending."""
    made = image_manifest(4, age=[1, None, 3, 4], split=["train", "valid", "train", "tune"])
    np.testing.assert_array_equal(made.column("age"), [1, np.nan, 3, 4])
    np.testing.assert_array_equal(made.rows("train"), [0, 2])
    assert made.rows("calibration").size == 0
    assert list(made.select(made.rows("train")).column("patient")) == ["p0", "p2"]
    assert any("train" in line and "2 images" in line for line in summary(made))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no manifest"),
        (b"no parquet at all", "no manifest"),
        (None, "no manifest"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A missing or broken file is named with what is wrong."""
    path = tmp_path / "manifest.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableData, match=reason):
        Manifest.read(str(path))


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    """Missing columns are named; a wrong type is refused."""
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"image_path": ["a"]}), path)
    with pytest.raises(UnreadableData, match="columns sha256, patient"):
        Manifest.read(str(path))


def test_a_quarter_million_rows_are_read_quickly(tmp_path: Path) -> None:
    """CheXpert's size is no burden: no Python loop runs over its rows."""
    count = 223_000
    made = Manifest.of({"sha256": [f"{n:064x}" for n in range(count)], "Edema": [n % 2 for n in range(count)]}, count)
    made.write(str(tmp_path / "m.parquet"))
    read = Manifest.read(str(tmp_path / "m.parquet"))
    assert read.labels()[1, OBSERVATIONS.index(Observation.EDEMA)] == 1
    assert len(read) == count
