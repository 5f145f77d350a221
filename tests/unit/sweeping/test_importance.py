"""Importance by hand."""

import pytest

from pipelines.settings import SweptKey
from pipelines.sweeping.importance import importance


def test_the_share_of_a_choice_by_hand():
    # mean 5; groups 1: (2, 4), 2: (6, 8): between 2*(3-5)^2 + 2*(7-5)^2 = 16, in all 9 + 1 + 1 + 9 = 20
    found = importance(SweptKey("model.depth", (1, 2, 3)), [1, 2, 1, 2], [2.0, 6.0, 4.0, 8.0])
    assert found.share == pytest.approx(16 / 20)
    assert found.chance == pytest.approx(1 / 3)
    assert found.means == [("1", 3.0), ("2", 7.0)]


def test_a_range_is_compared_by_thirds():
    rates = [0.004, 0.001, 0.002, 0.003, 0.006, 0.005]
    found = importance(SweptKey("lr", range=(0.001, 0.01)), rates, [3.0, 1.0, 1.0, 3.0, 5.0, 5.0])
    assert found.means == [("0.001 to 0.002", 1.0), ("0.003 to 0.004", 3.0), ("0.005 to 0.006", 5.0)]
    assert (found.share, found.chance) == (pytest.approx(1.0), pytest.approx(2 / 5))


def test_a_setting_that_does_nothing_and_a_single_trial():
    assert importance(SweptKey("h", (2, 4)), [2, 4, 2, 4], [1.0, 1.0, 3.0, 3.0]).share == 0.0
    assert importance(SweptKey("h", (2, 4)), [2], [1.0]).share == 0.0
