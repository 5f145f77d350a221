import numpy as np
import pytest

from mixste import memory
from mixste.memory import memory_peak_gib, reset_memory_peak


def test_the_peak_is_that_since_the_last_reset():
    if not reset_memory_peak():
        pytest.skip("the system does not let a process forget its peak")
    before = memory_peak_gib()
    held = np.ones(2**25)
    assert memory_peak_gib() > before + 0.15
    del held
    assert memory_peak_gib() > before + 0.15
    reset_memory_peak()
    assert memory_peak_gib() < before + 0.1


def test_without_proc_the_peak_is_since_the_process_began(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none" / "status")
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "none" / "clear_refs")
    assert not reset_memory_peak()
    assert 0.01 < memory_peak_gib() < 64
