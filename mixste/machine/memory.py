"""A process's memory: the most that it held, and who keeps what is freed; no torch here, for tasks without tensors."""

import ctypes
import resource
import sys
from pathlib import Path

GIB = 2**30
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_LARGEST = GIB, 2**25  # what is kept at most, and the same where glibc, before 2.35, takes no more


def keep_freed() -> None:
    """Let this process keep what tensors free, for the next ones, until it ends; with glibc only.

    Else large ones are handed back to the system page by page, and cleared anew: a quarter of the time of lifting with
    a large model of 8 bits, a tenth of training a small one. It holds for the whole process, so it is for those who own
    theirs.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        # In this order: once a threshold is set, those that are not stay at 128 KiB.
        if any(libc.mallopt(_MMAP_THRESHOLD, most) for most in _LARGEST):
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


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
