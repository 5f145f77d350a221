"""What work takes: told apart by waiting for data, added up over steps, and honest in a process that is used again."""

import time

import pytest

from pipelines.process.watching import Watch, figures, tell, watch


def test_waiting_is_counted_and_work_is_not():
    def slow():
        for number in range(3):
            time.sleep(0.02)
            yield number

    with watch() as found:
        for _ in found.waiting(slow()):
            time.sleep(0.04)
    assert 0.06 <= found.data_seconds < 0.12 <= found.data_seconds + 0.12 <= found.seconds


def test_reading_counts_also_what_fails():
    found = Watch()

    def broken(seconds, *, value):
        time.sleep(seconds)
        raise ValueError(value)

    with pytest.raises(ValueError, match="damaged"):
        found.reading(broken)(0.02, value="damaged")
    assert 0.02 <= found.data_seconds < 0.2


def test_waiting_passes_on_every_item_and_the_errors_of_what_it_waits_for():
    def damaged():
        yield 1
        raise ValueError("damaged")

    items = Watch().waiting(damaged())
    assert next(items) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(items)
    assert list(Watch().waiting([1, 2])) == [1, 2]


def test_steps_side_by_side_take_the_stage_less_than_their_sum():
    quick = Watch(1, frames=100, windows=30, seconds=5.0, data_seconds=2.0, memory_peak_gib=0.25)
    watches = [Watch(2, frames=300, seconds=4.0, data_seconds=1.0, memory_peak_gib=0.5), quick]
    assert figures(watches, 5.0) == {
        "frames": 400,
        "seconds": 5.0,
        "frames_per_second": 80.0,
        "windows_per_second": 6.0,
        "step_seconds": 3.0,
        "data_seconds": 1.0,
        "memory_peak_gib": 0.5,
    }


def test_nothing_done_is_told_without_a_rate(caplog):
    found = figures([], 0.0)
    assert not any(name.endswith("per_second") for name in found)
    with caplog.at_level("INFO"):
        tell("prepare", "subject", found)
    assert "prepare: 0 frames in 0.0 s" in caplog.text
