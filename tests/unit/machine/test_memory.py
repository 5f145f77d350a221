import platform
import subprocess
import sys

import pytest

from mixste.machine import memory
from mixste.machine.memory import GIB, memory_peak_gib, reset_memory_peak

# A process of its own: this one's size is moved by whatever other tests left to be freed.
MEASURED = """
import numpy as np
from mixste.machine.memory import memory_peak_gib, reset_memory_peak
if not reset_memory_peak():
    print("kept")
    raise SystemExit
before = memory_peak_gib()
held = np.ones(2**25)  # a quarter of a GiB
during = memory_peak_gib()
del held
after = memory_peak_gib()
reset_memory_peak()
print(during - before, after - before, memory_peak_gib() - before)
"""


def test_the_peak_is_that_since_the_last_reset():
    printed = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True).stdout
    if printed.strip() == "kept":
        pytest.skip("the system does not let a process forget its peak")
    during, after, reset = map(float, printed.split())
    assert during > 0.15
    assert after > 0.15
    assert reset < 0.1


def test_without_proc_the_peak_is_since_the_process_began(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none" / "status")
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "none" / "clear_refs")
    assert not reset_memory_peak()
    assert 0.01 < memory_peak_gib() < 64


FREED = """
import sys
import numpy as np
from mixste.machine.memory import GIB, STATUS, keep_freed
def resident():
    return next(int(line.split()[1]) * 1024 / GIB for line in STATUS.read_text().splitlines() if "VmRSS" in line)
if sys.argv[1:]:
    keep_freed()
before = resident()
held = np.ones(2**25)  # a quarter of a GiB
del held
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone")
def test_a_process_that_asks_for_it_keeps_what_is_freed():
    found = [
        float(subprocess.run([sys.executable, "-c", FREED, *asks], capture_output=True, text=True, check=True).stdout)
        for asks in ([], ["keep"])
    ]
    assert found[0] < 0.1
    assert found[1] > 0.15


def test_elsewhere_than_with_glibc_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_freed()
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    memory.keep_freed()


class _Libc:
    """glibc that takes thresholds up to a limit, and remembers those that it took."""

    def __init__(self, most):
        self.most, self.taken = most, []

    def mallopt(self, name, value):
        if name == memory._MMAP_THRESHOLD and value > self.most:
            return 0
        self.taken.append((name, value))
        return 1


@pytest.mark.parametrize(
    ("most", "taken"),
    [
        (2**40, [(memory._MMAP_THRESHOLD, GIB), (memory._TRIM_THRESHOLD, 2**31 - 1)]),
        (2**25, [(memory._MMAP_THRESHOLD, 2**25), (memory._TRIM_THRESHOLD, 2**31 - 1)]),
        (0, []),
    ],
    ids=["new", "old", "other"],
)
def test_an_old_glibc_keeps_what_it_can(monkeypatch, most, taken):
    libc = _Libc(most)
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: libc)
    memory.keep_freed()
    assert libc.taken == taken
