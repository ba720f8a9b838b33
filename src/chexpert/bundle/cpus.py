"""How many CPUs this process may really use: a container's quota is far below the machine's count."""

import os
from math import ceil
from pathlib import Path

__all__ = ["available_cpus"]


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs by affinity mask and cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`), at least 1."""
    affinity = len(os.sched_getaffinity(0))
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    return max(1, min(affinity, ceil(quota)) if quota else affinity)


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
