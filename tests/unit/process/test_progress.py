"""Lines in a log: after some seconds, with the time left, and none for short work."""

import logging

import pytest

from pipelines.process import progress as module
from pipelines.process.progress import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def told(clock, caplog, seconds):
    """What is logged of four steps that take so many seconds each."""
    with caplog.at_level(logging.INFO), progress("lifting") as tell:
        for done in range(1, 5):
            clock[0] += seconds
            tell(done, 4)
    return caplog.messages


def test_long_work_says_how_far_it_is_and_how_long_it_takes(clock, caplog):
    assert told(clock, caplog, 30) == [
        "lifting: 1 of 4, 1:30 left",
        "lifting: 2 of 4, 1:00 left",
        "lifting: 3 of 4, 0:30 left",
        "lifting: 4 of 4, 0:00 left",
    ]


def test_steps_come_together_in_a_line_every_few_seconds(clock, caplog):
    assert told(clock, caplog, 2) == ["lifting: 3 of 4, 0:02 left", "lifting: 4 of 4, 0:00 left"]


def test_short_work_leaves_no_line(clock, caplog):
    assert told(clock, caplog, 1) == []
