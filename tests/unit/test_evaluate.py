"""How `evaluate` sums up: what is scored apart, and what makes two test scores comparable."""

from dataclasses import replace

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.protocols import PROTOCOLS, summary
from mixste.scoring import METRICS, Names, Scores
from pipelines.evaluate import test_hash as hash_of_test
from pipelines.params import load


@pytest.fixture
def scores():
    """Three clips of one frame more than steps: errors of 10, 20 and 90 mm."""
    errors = np.array([10.0, 20.0, 90.0])
    frames = np.array([4, 4, 4])
    return Scores(
        names=Names(("a/0", "b/0", "b.1/0"), ("S", "S", "S"), ("walk", "run", "run")),
        metrics=METRICS,
        totals=np.repeat((errors * frames)[:, None], 4, axis=1),
        counts=np.repeat(frames[:, None], 4, axis=1),
        joint_totals=np.repeat((errors * frames)[:, None], 17, axis=1),
    )


def test_a_trial_apart_is_in_no_mean_whatever_its_pieces(scores):
    found = summary(scores, PROTOCOLS["h36m"], ["S/b"])
    assert found["frame_mean"]["mpjpe"] == found["mean"]["mpjpe"] == 10.0
    assert found["mean"]["frames"] == 4
    assert found["per_joint"].tolist() == [10.0] * 17
    assert found["apart"]["S/b"]["mpjpe"] == 55.0


def test_actions_count_alike_whatever_their_frames(scores):
    assert summary(scores, PROTOCOLS["h36m"], [])["mean"]["mpjpe"] == pytest.approx((10 + 55) / 2)


def test_a_trial_apart_that_is_not_there_is_named(scores):
    with pytest.raises(MixsteError, match="S/c"):
        summary(scores, PROTOCOLS["h36m"], ["S/c"])


def test_scores_of_another_protocol_are_told_apart(workplace):
    params = load()
    (workplace / "a-1.parquet").write_text("table")
    paths = [workplace / "a-1.parquet"]
    flipped = replace(params, evaluate=replace(params.evaluate, flip=not params.evaluate.flip))
    assert hash_of_test(paths, params) == hash_of_test(paths, params)
    assert hash_of_test(paths, params) != hash_of_test(paths, flipped)
