"""The CPUs that this process may use: in a container, or where a batch system shares out a machine, not all of them."""

import os
from contextlib import suppress
from math import inf
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """Return how many CPUs this process may run on, or fewer if its cgroup has less of their time; 1 at least."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(there, _share(cgroup))))


def _share(cgroup: Path) -> float:
    """How many CPUs' time a cgroup may take, by version 2 or 1; infinite without a limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # no such file, or `max`
            quota, period = map(int, " ".join((cgroup / name).read_text() for name in names).split())
            if quota > 0:
                return quota / period
    return inf
