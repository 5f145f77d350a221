import subprocess
import sys

import pytest

from mixste import memory
from mixste.memory import memory_peak_gib, reset_memory_peak

# A process of its own: this one's size is moved by whatever other tests left to be freed.
MEASURED = """
import numpy as np
from mixste.memory import memory_peak_gib, reset_memory_peak
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
