"""A container's quota limits the threads, not the machine's count."""

import os
from pathlib import Path

import pytest

from chexpert.bundle.cpus import available_cpus

AFFINITY = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("text", "expected"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", AFFINITY)])
def test_version_2_quota(tmp_path: Path, text: str, expected: int) -> None:
    """Half a CPU and one CPU give one thread; no quota gives the affinity mask's."""
    (tmp_path / "cpu.max").write_text(text)
    assert available_cpus(tmp_path, {}) == expected


@pytest.mark.parametrize(("quota", "expected"), [("50000", 1), ("-1", AFFINITY)])
def test_version_1_quota(tmp_path: Path, quota: str, expected: int) -> None:
    """The older files mean the same; -1 is no quota."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cpus(tmp_path, {}) == expected


def test_without_cgroups(tmp_path: Path) -> None:
    """Where no file says anything, all CPUs of the affinity mask count."""
    assert available_cpus(tmp_path, {}) == AFFINITY


def test_a_share_given_by_the_starter_counts(tmp_path: Path) -> None:
    """OMP_NUM_THREADS lowers the number; one that is no number, or higher than the CPUs, does not matter."""
    assert available_cpus(tmp_path, {"OMP_NUM_THREADS": "1"}) == 1
    assert available_cpus(tmp_path, {"OMP_NUM_THREADS": "x"}) == AFFINITY
    assert available_cpus(tmp_path, {"OMP_NUM_THREADS": "999"}) == AFFINITY
