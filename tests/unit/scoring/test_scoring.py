from dataclasses import replace

import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.metrics import align_to_target, joint_errors
from mixste.scoring.scores import ERRORS, Names, Scoring, score
from tests.unit.factories import sequences


def truth(data):
    return data.joints - data.joints[:, :1]


def shifted(data, metres):
    """The truth, each sequence moved along x by its own number of metres."""
    lengths = data.offsets.diff()
    along_x = torch.repeat_interleave(torch.tensor(metres), lengths)[:, None, None]
    return truth(data) + along_x * torch.tensor([1.0, 0, 0])


def test_the_truth_scores_zero():
    data = sequences()
    assert score(truth(data), data).mean() == pytest.approx(dict.fromkeys(ERRORS, 0), abs=1e-3)


def test_scores_are_in_millimetres_and_every_frame_counts_once():
    data = sequences((30, 10))
    mean = score(shifted(data, [0.010, 0.050]), data).mean()
    assert mean["mpjpe"] == pytest.approx((30 * 10 + 10 * 50) / 40, rel=1e-4)
    assert mean["p_mpjpe"] == pytest.approx(0, abs=1e-3)


def test_the_root_joint_counts_as_it_is_predicted():
    data = sequences((10,))
    predicted = truth(data)
    predicted[:, 0, 2] = 0.017
    assert score(predicted, data).mean()["mpjpe"] == pytest.approx(1, rel=1e-5)
    assert score(predicted, data).per_joint[:2] == pytest.approx([17, 0], abs=1e-4)


def test_the_truth_is_taken_relative_to_its_root():
    data = sequences((10,))
    assert score(data.joints, data).mean()["mpjpe"] > 3000


def test_velocities_do_not_cross_from_one_sequence_to_the_next():
    data = sequences((30, 10, 5))
    assert score(shifted(data, [0.0, 5.0, -5.0]), data).mean()["mpjve"] == pytest.approx(0, abs=1e-3)


def test_velocity_is_the_mean_over_steps_not_frames():
    data = sequences((4, 3))
    predicted = truth(data)
    predicted[1:4] += torch.arange(1, 4)[:, None, None] * torch.tensor([0.007, 0, 0])
    scores = score(predicted, data)
    assert scores.counts[:, ERRORS.index("mpjve")].tolist() == [3, 2]
    assert scores.mean()["mpjve"] == pytest.approx((3 * 7 + 2 * 0) / 5, rel=1e-4)


def test_single_frames_have_no_velocity_and_score_all_the_same():
    data = sequences((1, 1))
    mean = score(shifted(data, [0.010, 0.020]), data).mean()
    assert (mean["mpjpe"], mean["p_mpjpe"], mean["mpjve"]) == pytest.approx((15, 0, 0), abs=1e-3)


def test_a_group_weighs_its_frames_alike():
    data = sequences((30, 10, 20, 5))  # walk, walk, sit, sit
    scores = score(shifted(data, [0.010, 0.020, 0.040, 0.060]), data)
    walk, sit = (30 * 10 + 10 * 20) / 40, (20 * 40 + 5 * 60) / 25
    assert scores.mean()["mpjpe"] == pytest.approx((40 * walk + 25 * sit) / 65, rel=1e-4)
    by_action = scores.by(scores.names.actions)
    assert [(name, own["frames"]) for name, own in by_action.items()] == [("sit", 25), ("walk", 40)]
    assert by_action["walk"]["mpjpe"] == pytest.approx(walk, rel=1e-4)


def test_some_sequences_can_be_scored_alone():
    data = sequences((30, 10, 20))
    both = score(shifted(data, [0.010, 0.020, 0.040]), data)
    alone = score(shifted(data, [0.010, 0.020, 0.040])[30:40], data.select([1]))
    assert both.only([1]).mean() == pytest.approx(alone.mean(), rel=1e-6)
    assert both.only([1]).names.clips == (data.clips[1],)


def test_p_mpjpe_is_the_same_however_many_frames_are_aligned_at_a_time(monkeypatch):
    data = sequences((20, 9))
    predicted = truth(data) + 0.1 * torch.randn(29, 17, 3, generator=torch.Generator().manual_seed(0))
    expected = joint_errors(align_to_target(predicted, truth(data)), truth(data)).mean() * 1000
    monkeypatch.setattr("mixste.scoring.scores._CHUNK", 7)
    scores = score(predicted, data)
    assert scores.mean()["p_mpjpe"] == pytest.approx(float(expected), rel=1e-4)
    assert np.isfinite(scores.totals).all()


def test_a_clip_names_its_trial():
    data = sequences((4, 4, 4))
    assert score(truth(data), data).names.trials == ("S0/trial0", "S0/trial0", "S0/trial1")


def test_pieces_of_a_trial_that_a_defect_cut_are_that_trial():
    names = Names(("walk/0", "walk.1/0"), ("A", "A"), ("walk", "walk"))
    assert names.trials == ("A/walk", "A/walk")


def test_the_root_can_be_set_to_zero_and_is_the_skeletons_own():
    data = replace(sequences((10,)), skeleton="mpi17")
    predicted = data.joints - data.joints[:, 14:15]
    predicted[:, 14] += torch.tensor([0, 0, 0.017])
    assert score(predicted, data).mean()["mpjpe"] == pytest.approx(1, rel=1e-5)
    assert score(predicted, data, Scoring(zero_root=True)).mean()["mpjpe"] == pytest.approx(0, abs=1e-5)


def test_frames_that_are_not_valid_count_nowhere():
    valid = torch.tensor([1, 1, 0, 1, 1, 1, 0, 0], dtype=torch.bool)
    data = replace(sequences((5, 3)), valid=valid)
    predicted = truth(data)
    predicted[~valid] += 7.0
    predicted[4] += torch.tensor([0.030, 0, 0])
    scores = score(predicted, data)
    assert scores.frames.tolist() == [4, 1]
    assert scores.counts[:, ERRORS.index("mpjve")].tolist() == [2, 0], "steps 0-1 and 3-4"
    assert scores.mean()["mpjpe"] == pytest.approx(30 / 5, rel=1e-5)
    assert scores.mean()["mpjve"] == pytest.approx(30 / 2, rel=1e-5)
    assert scores.per_joint == pytest.approx([6] * 17, rel=1e-5)


def test_predictions_that_are_no_numbers_are_refused():
    data = sequences((5,))
    predicted = truth(data)
    predicted[2, 3, 1] = torch.nan
    with pytest.raises(MixsteError, match=r"cannot score these predictions.*NaN"):
        score(predicted, data)


def test_joints_in_screen_units_are_scored_with_every_frames_own_scale():
    data = replace(sequences((2,)), unit="screen", scale=torch.tensor([2.0, 4.0]))
    assert score(shifted(data, [0.010]), data).mean()["mpjpe"] == pytest.approx(30, rel=1e-5)
    with pytest.raises(MixsteError, match="screen"):
        score(truth(data), replace(data, scale=None))


def test_pck_and_auc_are_percent_of_the_named_joints():
    data = sequences((4,))
    predicted = truth(data)
    predicted[:, 9, 0] += 5.0  # the neck is not among them
    predicted[:2, 3, 1] += 0.151
    predicted[:, 13, 1] += 0.0725
    mean = score(predicted, data, Scoring(near=("head", "r_ankle", "l_wrist", "thorax"))).mean()
    assert mean["pck"] == pytest.approx(100 * (1 + 0.5 + 1 + 1) / 4)
    assert mean["auc"] == pytest.approx(100 * (30 + 15 + 16 + 30) / 31 / 4), "at 0 mm nothing is near"
    with pytest.raises(MixsteError, match="no such joint"):
        score(predicted, data, Scoring(near=("tail",)))


def test_mpjve_by_frames_weighs_each_sequences_mean_by_its_frames():
    data = sequences((4, 3, 1))
    predicted = truth(data)
    predicted[1:4] += torch.arange(1, 4)[:, None, None] * torch.tensor([0.007, 0, 0])
    mean = score(predicted, data, Scoring(by_frames=True)).mean()
    assert mean["mpjve"] == pytest.approx((4 * 7 + 3 * 0) / 7, rel=1e-4)
