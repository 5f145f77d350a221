import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from mixste.metrics import align_to_target, auc, joint_errors, pck, scale_to_target, velocity_errors


def poses(frames=20, seed=0, joints=17):
    return torch.randn((frames, joints, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(target, *, mirrored=False):
    """Every frame rotated, scaled and shifted by its own amounts."""
    rotations = torch.from_numpy(Rotation.random(len(target), random_state=1).as_matrix())
    scales = torch.linspace(0.2, 5, len(target), dtype=torch.float64)[:, None, None]
    flipped = target * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64) if mirrored else target
    return scales * flipped @ rotations + poses(len(target), seed=2)[:, :1]


def naive_alignment(predicted, target):
    """One frame, numpy: scipy's orthogonal Procrustes, made a rotation by hand where it is a reflection."""
    x, y = predicted - predicted.mean(0), target - target.mean(0)
    rotation, total = orthogonal_procrustes(x, y)
    if np.linalg.det(rotation) < 0:
        u, singular, vt = np.linalg.svd(x.T @ y)
        rotation, total = u @ np.diag([1, 1, -1]) @ vt, singular[0] + singular[1] - singular[2]
    return total / (x**2).sum() * x @ rotation + target.mean(0)


def test_errors_are_distances_of_joints():
    target = torch.zeros(2, 2, 3)
    predicted = torch.tensor([[[3.0, 4, 0], [0, 0, 1]], [[0, 0, 0], [1, 2, 2]]])
    assert joint_errors(predicted, target).tolist() == [[5, 1], [0, 3]]


def test_velocity_errors_are_distances_of_steps():
    target = torch.tensor([[[0.0, 0, 0]], [[1, 0, 0]], [[2, 0, 0]]])
    predicted = torch.tensor([[[5.0, 5, 5]], [[6, 5, 5]], [[7, 8, 9]]])
    assert velocity_errors(predicted, target).tolist() == [[0], [5]]


def test_alignment_undoes_rotation_scale_and_shift_of_every_frame():
    target = poses()
    torch.testing.assert_close(align_to_target(moved(target), target), target)


def test_p_mpjpe_does_not_depend_on_rotation_scale_and_shift_of_the_prediction():
    target, predicted = poses(), poses(seed=7)
    expected = joint_errors(align_to_target(predicted, target), target)
    torch.testing.assert_close(joint_errors(align_to_target(moved(predicted), target), target), expected)
    assert expected.mean() > 0.1


def test_a_mirrored_pose_is_not_aligned_by_a_reflection():
    target = poses()
    assert joint_errors(align_to_target(moved(target, mirrored=True), target), target).mean(-1).min() > 0.1


@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_alignment_agrees_with_scipys_procrustes_frame_by_frame(noise):
    target = poses(30, joints=5)
    predicted = moved(target) + noise * poses(30, seed=4, joints=5)
    expected = [naive_alignment(p, t) for p, t in zip(predicted.numpy(), target.numpy(), strict=True)]
    torch.testing.assert_close(align_to_target(predicted, target), torch.from_numpy(np.stack(expected)))


def test_alignment_never_makes_the_error_in_squares_larger():
    target, predicted = poses(), poses(seed=3)
    before, after = (joint_errors(p, target).square().mean(-1) for p in (predicted, align_to_target(predicted, target)))
    assert (after <= before).all()


def test_scaling_by_hand():
    predicted = torch.tensor([[[1.0, 0, 0], [0, 2, 0]]])
    target = torch.tensor([[[3.0, 0, 0], [0, 1, 1]]])
    assert scale_to_target(predicted, target).tolist() == [[[1, 0, 0], [0, 2, 0]]]  # <t, p> = 5 = <p, p>
    assert scale_to_target(4 * predicted, target).tolist() == [[[1, 0, 0], [0, 2, 0]]]
    assert scale_to_target(predicted, 2 * target).tolist() == [[[2, 0, 0], [0, 4, 0]]]


def test_each_frame_has_its_own_scale():
    target = poses()
    scales = torch.linspace(0.1, 4, len(target), dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(scale_to_target(target * scales, target), target)


@pytest.mark.parametrize("fit", [align_to_target, scale_to_target])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("zero", ["predicted", "target", "both"])
def test_frames_without_extent_stay_finite(fit, precision, zero):
    target, predicted = poses(3).to(precision), poses(3, seed=1).to(precision)
    if zero != "target":
        predicted[1] = 0
    if zero != "predicted":
        target[1] = 0
    fitted = fit(predicted, target)
    assert fitted.isfinite().all()
    assert torch.equal(fitted[::2], fit(predicted[::2], target[::2])), "other frames are not touched"


def test_a_prediction_without_extent_is_moved_onto_the_targets_centre():
    target = poses(1)
    torch.testing.assert_close(
        align_to_target(torch.zeros_like(target), target), target.mean(1, keepdim=True) + 0 * target
    )


def test_measures_take_leading_axes():
    target, predicted = poses(12).reshape(3, 4, 17, 3), poses(12, seed=1).reshape(3, 4, 17, 3)
    assert velocity_errors(predicted, target).shape == (3, 3, 17)
    torch.testing.assert_close(align_to_target(predicted, target)[1], align_to_target(predicted[1], target[1]))


def test_a_joint_that_is_exactly_the_threshold_away_is_not_near():
    errors = torch.tensor([[0.0, 149.999, 150.0, 150.001]], dtype=torch.float64)
    assert pck(errors, 150.0).tolist() == [0.5]
    assert pck(errors, 0.0).tolist() == [0.0]


def test_auc_by_hand():
    thresholds = range(0, 151, 5)
    errors = torch.tensor([[0.0], [5.0], [147.0], [150.0]], dtype=torch.float64)
    # below 5..150: 30 of 31; below 10..150: 29; below 150: 1; never
    assert auc(errors, thresholds).tolist() == pytest.approx([30 / 31, 29 / 31, 1 / 31, 0])
    assert auc(errors.T, thresholds).tolist() == pytest.approx([60 / 31 / 4])
