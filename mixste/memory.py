"""The most memory that a process held; no torch here, so that tasks without tensors can say it, too."""

import resource
import sys
from pathlib import Path

GIB = 2**30
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_memory_peak() -> bool:
    """Begin to measure this process's peak anew; False where the system does not let it (Linux's does, mostly)."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def memory_peak_gib() -> float:
    """Return the most memory that this process held since the last reset that took effect or since it began, GiB."""
    try:
        status = STATUS.read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
    return next(int(line.split()[1]) * 1024 / GIB for line in status.splitlines() if line.startswith("VmHWM:"))
