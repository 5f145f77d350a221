"""The most memory that a process held; no torch here, so that tasks without tensors can say it, too."""

import resource
import sys
from pathlib import Path

GIB = 2**30
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_memory_peak() -> bool:
    """Begin to measure this process's peak anew; False where the system does not let it (not Linux, some sandboxes)."""
    try:
        CLEAR.write_text("5")
        return _status("VmHWM") - _status("VmRSS") < 1 / 16
    except OSError:
        return False


def memory_peak_gib() -> float:
    """Return the most memory that this process held since the last reset that took effect or since it began, GiB."""
    try:
        return _status("VmHWM")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB


def _status(name: str) -> float:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / GIB for line in lines if line.startswith(f"{name}:"))
