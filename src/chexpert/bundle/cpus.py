"""How many CPUs this process may really use: a container's quota is far below the machine's count."""

import os
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Final

__all__ = ["THREADS_VARIABLE", "available_cpus"]

THREADS_VARIABLE: Final = "OMP_NUM_THREADS"
"""Who starts several programs on one machine shares the CPUs out with it."""


def available_cpus(
    cgroup: Path = Path("/sys/fs/cgroup"),
    environment: Mapping[str, str] = os.environ,
) -> int:
    """CPUs by affinity mask, cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`) and OMP_NUM_THREADS, at least 1."""
    limits = [float(len(os.sched_getaffinity(0)))]
    if quota := _quota_v2(cgroup) or _quota_v1(cgroup):
        limits.append(quota)
    if (threads := environment.get(THREADS_VARIABLE, "")).isdigit():
        limits.append(int(threads))
    return max(1, ceil(min(limits)))


def _quota_v2(cgroup: Path) -> float | None:
    words = _words(cgroup / "cpu.max")
    return int(words[0]) / int(words[1]) if words and words[0] != "max" else None


def _quota_v1(cgroup: Path) -> float | None:
    quota, period = _words(cgroup / "cpu" / "cpu.cfs_quota_us"), _words(cgroup / "cpu" / "cpu.cfs_period_us")
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
