from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from chexpert.bundle import reference
from chexpert.bundle.card import REFERENCE
from chexpert.domain.observations import OBSERVATIONS
from chexpert.domain.predictions import priority
from chexpert.domain.records import STATISTICS
from chexpert.imaging.preprocess import PreprocessSpec
from chexpert.monitoring.errors import NoReference
from chexpert.monitoring.reference import read
from chexpert.pipeline.images import pixels_of, sample, statistics_of


def test_a_sample_is_the_same_each_time_and_in_order() -> None:
    """Rows are drawn without replacement by the seed alone, and keep their order."""
    rows = np.arange(1000, dtype=np.int64) * 3
    drawn = sample(rows, 100)
    assert len(drawn) == 100
    assert np.isin(drawn, rows).all()
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, sample(rows, 100))
    assert not np.array_equal(drawn, sample(rows, 100, seed=1))


@pytest.mark.parametrize("count", [0, 1, 7])
def test_few_rows_are_all_taken(count: int) -> None:
    """Nothing is drawn where there is not more than asked for."""
    rows = np.arange(count, dtype=np.int64)
    np.testing.assert_array_equal(sample(rows, 7), rows)


def test_pixels_and_statistics_are_those_of_the_rows_asked_for(ingested: Any) -> None:
    """Pixels by the shards' own preprocessing are the shards' pixels, in the rows' order; so are the statistics."""
    manifest, shards = ingested.manifest, ingested.shards
    rows = manifest.rows("valid")[[3, 0, 2]]
    pixels = pixels_of(manifest, rows, PreprocessSpec(size=shards.size))
    np.testing.assert_array_equal(pixels, shards.take(shards.find(manifest.column("sha256")[rows])))
    assert pixels_of(manifest, rows, PreprocessSpec(size=24)).shape == (3, 1, 24, 24)
    seen = statistics_of(manifest, rows)
    assert seen.shape == (3, len(STATISTICS))
    np.testing.assert_array_equal(seen[::-1], statistics_of(manifest, rows[::-1]))
    assert len(np.unique(seen[:, 0])) == 3


def test_no_rows_have_no_statistics(ingested: Any) -> None:
    """An empty split is an empty table of five columns."""
    assert statistics_of(ingested.manifest, np.array([], np.int64)).shape == (0, len(STATISTICS))


def test_a_written_reference_is_read_by_the_drift_test(tmp_path: Path) -> None:
    """Scores and statistics come back in their columns, float32 and float64 alike."""
    rng = np.random.default_rng(3)
    scores = rng.uniform(size=(20, len(OBSERVATIONS))).astype(np.float32)
    statistics = rng.normal(size=(20, len(STATISTICS)))
    (tmp_path / REFERENCE).write_bytes(reference.encode(scores, statistics))
    found = read(str(tmp_path))
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.statistics, statistics)


def test_a_reference_holds_each_rows_priority(tmp_path: Path) -> None:
    """The worklist's priority follows from the scores by the house's one rule."""
    scores = np.random.default_rng(4).uniform(size=(9, len(OBSERVATIONS)))
    path = tmp_path / REFERENCE
    path.write_bytes(reference.encode(scores, np.zeros((9, len(STATISTICS)))))
    assert pq.read_table(path)["priority"].to_pylist() == [priority(row) for row in scores.tolist()]


def test_a_bundle_without_reference_is_told(tmp_path: Path) -> None:
    """Nothing, or something that is no Parquet file, is an error that names the file."""
    with pytest.raises(NoReference, match=REFERENCE):
        read(str(tmp_path))
    (tmp_path / REFERENCE).write_bytes(reference.encode(np.zeros((1, 14)), np.zeros((1, 5)))[:40])
    with pytest.raises(NoReference, match=REFERENCE):
        read(str(tmp_path))
