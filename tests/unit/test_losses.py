import pytest
import torch

from mixste.losses import MIXSTE_WEIGHTS, joint_weights, mpjpe, n_mpjpe, temporal_consistency, velocity_error
from mixste.skeleton import load_skeleton

WEIGHTS = torch.tensor([1.0, 4.0])
TARGET = torch.tensor([[[0.0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 2, 0]]])[None]
PREDICTED = torch.tensor([[[0.0, 0, 0], [0, 1, 2]], [[3, 4, 0], [0, 1, 0]], [[0, 0, 0], [0, 2, 0]]])[None]


def test_mpjpe_is_the_mean_distance_each_joint_weighted():
    assert mpjpe(PREDICTED, TARGET).item() == pytest.approx((2 + 5) / 6)
    assert mpjpe(PREDICTED, TARGET, WEIGHTS).item() == pytest.approx((4 * 2 + 1 * 5) / 6)


def test_velocity_error_is_the_mean_distance_of_steps():
    steps = [5, 2, 5, 0]  # of two joints, twice: there and back again
    assert velocity_error(PREDICTED, TARGET).item() == pytest.approx(sum(steps) / 4)


def test_temporal_consistency_is_the_weighted_mean_square_of_the_predictions_steps():
    first, second = 1 * (9 + 16) + 4 * 4, 1 * (9 + 16) + 4 * 1
    assert temporal_consistency(PREDICTED, WEIGHTS).item() == pytest.approx((first + second) / (2 * 2 * 3))


def test_n_mpjpe_forgives_the_scale_of_each_frame_only():
    scales = torch.tensor([0.5, 2.0, 7.0])[:, None, None]
    assert n_mpjpe(TARGET * scales, TARGET).item() == pytest.approx(0, abs=1e-6)
    assert n_mpjpe(TARGET + 1.0, TARGET).item() > 0.1


@pytest.mark.parametrize("loss", [mpjpe, n_mpjpe, velocity_error])
def test_losses_are_zero_for_the_truth(loss):
    assert loss(TARGET, TARGET).item() == pytest.approx(0, abs=1e-7)


def test_single_frames_have_no_velocity_and_no_temporal_loss():
    assert velocity_error(PREDICTED[:, :1], TARGET[:, :1]).item() == 0
    assert temporal_consistency(PREDICTED[:, :1], WEIGHTS).item() == 0


@pytest.mark.parametrize("loss", [mpjpe, n_mpjpe, velocity_error, lambda p, t: temporal_consistency(p, WEIGHTS)])
def test_gradients_are_finite_even_where_the_prediction_is_the_truth_or_zero(loss):
    for start in (TARGET, torch.zeros_like(TARGET)):
        predicted = start.clone().requires_grad_()
        loss(predicted, TARGET).backward()
        assert predicted.grad.isfinite().all()


@pytest.mark.parametrize("skeleton", ["h36m17", "h36m16"])
def test_joint_weights_are_those_of_the_paper_by_joint_name(skeleton):
    """Wrists and elbows hardest, then ankles and knees, the head a little."""
    joints = load_skeleton(skeleton).joints
    weights = dict(zip(joints, joint_weights(skeleton, len(joints)).tolist(), strict=True))
    for side in "lr":
        assert [weights[f"{side}_{joint}"] for joint in ("elbow", "wrist", "knee", "ankle")] == [4, 4, 2.5, 2.5]
        assert weights[f"{side}_shoulder"] == 1.5
        assert weights[f"{side}_hip"] == 1
    assert (weights["hip"], weights["thorax"], weights["head"]) == (1, 1, 1.5)


def test_joint_weights_have_a_number_a_joint_and_are_ones_for_other_skeletons():
    for skeleton, weights in MIXSTE_WEIGHTS.items():
        assert len(weights) == len(load_skeleton(skeleton).joints)
    assert joint_weights("mine", 5).tolist() == [1.0] * 5


def test_humanevas_joint_weights_are_those_of_human36m_without_two_of_the_trunk_whatever_its_own_order():
    weights = MIXSTE_WEIGHTS["h36m17"]
    assert MIXSTE_WEIGHTS["humaneva15"] == weights[:7] + weights[9:]
