"""What the machine does while a stage runs."""

import time

from pipelines.tracking.machine import machine_metrics


def test_the_machine_is_looked_at_every_so_many_seconds_since_the_run_began():
    seen = []
    with machine_metrics(lambda values, step: seen.append((step, values)), 1, time.time() - 100):
        deadline = time.monotonic() + 30
        while len(seen) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    (first, values), (second, _) = seen[:2]
    assert 101 <= first < second < 131
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= values.keys()
    assert 0 < values["system/system_memory_usage_percentage"] <= 100
    count = len(seen)
    time.sleep(1.2)
    assert len(seen) == count


def test_it_may_be_off():
    seen = []
    with machine_metrics(lambda values, step: seen.append(step), None, 0.0):
        time.sleep(0.1)
    assert not seen
