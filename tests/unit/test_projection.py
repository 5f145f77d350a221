"""Clips and cameras: what random views and the rig show of a trial."""

from dataclasses import replace

import numpy as np
import pytest

from mixste.cameras import load_rig
from mixste.detector import DetectorSettings
from mixste.geometry import project, project_linear
from mixste.joint_maps import map_skeleton
from mixste.projection import (
    MARGIN,
    NEAREST,
    Trial,
    ViewSettings,
    centred,
    equal_parts,
    look,
    parts_within,
    random_views,
    rig_views,
)
from mixste.skeleton import load_skeleton

SKELETON = load_skeleton("h36m17")
RIG = load_rig("h36m")
PERFECT = DetectorSettings(noise=0, bias=0, dropout_rate=0, swap_rate=0, confidence_noise=0)


def trial(frames=600, travel=4.0):
    """A body-sized cloud of joints that moves along X."""
    rng = np.random.default_rng(0)
    joints = np.repeat(rng.normal((0, 0, 0.95), (0.2, 0.2, 0.4), (1, 17, 3)), frames, axis=0)
    joints[..., 0] += np.linspace(0, travel, frames)[:, None]
    return Trial("test", "01", "01_01", joints.astype(np.float32))


def views(settings=ViewSettings(), seed=0, **options):  # noqa: B008  (frozen)
    return list(random_views(trial(**options), settings, skeleton=SKELETON, seed=seed))


def on_rig(radius=1.5, detector=PERFECT, seed=0, **options):
    one = trial(**options)
    return list(rig_views(one, RIG, radius, skeleton=SKELETON, fps=50.0, detector=detector, seed=seed))


def limbs(joints):
    parents, children = np.array(SKELETON.bones).T
    return np.linalg.norm(joints[:, children] - joints[:, parents], axis=-1)


def test_a_trial_is_cut_into_equal_clips_with_views_of_each():
    found = views(replace(ViewSettings(), clip_frames=200, count=3))
    assert [(view.clip, view.camera) for view in found[:4]] == [
        ("01_01/0", "view0"), ("01_01/0", "view1"), ("01_01/0", "view2"), ("01_01/1", "view0"),
    ]  # fmt: skip
    assert len(found) == 9
    np.testing.assert_array_equal(np.concatenate([view.frames for view in found[::3]]), np.arange(600))


@pytest.mark.parametrize(("least", "lengths"), [(601, [600]), (600, [600]), (350, [600]), (300, [300] * 2)])
def test_no_clip_is_shorter_than_asked_unless_its_trial_is(least, lengths):
    found = views(replace(ViewSettings(), clip_frames=least, count=1))
    assert [len(view.frames) for view in found] == lengths


def test_random_views_are_exact_projections_of_the_same_body():
    for view in views():
        assert (view.keypoints[..., 2] == 1).all()
        ratio = view.keypoints[..., 0] / (view.joints[..., 0] / view.joints[..., 2])
        focal = np.median(ratio)
        assert 1.8 <= focal <= 2.8
        seen = project_linear(view.joints, np.array([focal, focal, 0, 0]))
        np.testing.assert_allclose(view.keypoints[..., :2], seen, atol=1e-5)
        np.testing.assert_allclose(limbs(view.joints), limbs(trial().joints[view.frames]), atol=1e-5)
        assert view.keypoints.dtype == view.joints.dtype == np.float32


@pytest.mark.parametrize("travel", [0.0, 4.0, 60.0])
def test_a_random_camera_sees_the_whole_clip(travel):
    for view in views(travel=travel):
        assert np.abs(view.keypoints[..., :2]).max() <= MARGIN + 1e-5
        assert view.joints[..., 2].min() >= NEAREST - 1e-5


def test_the_trajectory_of_the_root_is_kept():
    for view in views(replace(ViewSettings(), clip_frames=600)):
        np.testing.assert_allclose(np.linalg.norm(view.joints[-1, 0] - view.joints[0, 0]), 4.0, rtol=1e-5)


def test_random_cameras_stand_all_around_and_upright():
    settings = replace(ViewSettings(), count=400, clip_frames=600)
    up = np.array([0, 0, 1.0])
    body = trial().joints[300] - trial().joints[300, :1]
    turned = [np.linalg.lstsq(body, view.joints[300] - view.joints[300, :1], rcond=None)[0] for view in views(settings)]
    forward = np.array([turn[:, 2] for turn in turned])
    yaw = np.arctan2(forward[:, 1], forward[:, 0])
    assert (np.histogram(yaw, bins=8, range=(-np.pi, np.pi))[0] > 25).all()
    pitch = np.degrees(np.arcsin(-forward @ up))
    np.testing.assert_allclose(pitch.std(), 10, atol=1.5)
    assert (np.array([turn[2, 1] for turn in turned]) < 0).all()  # up in the world is up in the image


def test_look_is_a_rotation_that_looks_down_at_positive_pitch():
    turn = look(0.3, 0.2, 0.1)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turn), 1)
    np.testing.assert_allclose(look(0, 0, 0), [[0, -1, 0], [0, 0, -1], [1, 0, 0]], atol=1e-12)
    assert look(0, 0.2, 0)[2, 2] < 0


def test_views_depend_on_seed_and_names_only():
    one, same, other = views(), views(), views(seed=1)
    np.testing.assert_array_equal(one[3].keypoints, same[3].keypoints)
    assert not np.array_equal(one[3].keypoints, other[3].keypoints)
    renamed = list(random_views(replace(trial(), subject="02"), ViewSettings(), skeleton=SKELETON, seed=0))
    assert not np.array_equal(one[3].keypoints, renamed[3].keypoints)


def test_the_rig_keeps_every_part_within_its_radius():
    found = on_rig(travel=10.0)
    assert len(found) == 4 * 4  # 10 m in parts of at most 3 m
    for view in found:
        camera = next(camera for camera in RIG.cameras if camera.name == view.camera)
        np.testing.assert_allclose(view.keypoints[..., :2], project(view.joints, camera.intrinsics), atol=1e-6)
        middle = view.joints[:, 0].mean(axis=0)
        assert (np.linalg.norm(view.joints[:, 0] - middle, axis=-1) <= 1.5 + 1e-3).all()
        np.testing.assert_allclose(limbs(view.joints), limbs(trial().joints[view.frames]), atol=1e-5)
    np.testing.assert_array_equal(np.concatenate([view.frames for view in found[::4]]), np.arange(600))


def test_the_rigs_detections_are_noisy_and_seeded():
    exact, noisy, again = on_rig(), on_rig(detector=DetectorSettings()), on_rig(detector=DetectorSettings())
    assert not np.array_equal(exact[0].keypoints, noisy[0].keypoints)
    np.testing.assert_array_equal(noisy[5].keypoints, again[5].keypoints)
    np.testing.assert_array_equal(exact[5].joints, noisy[5].joints)


def test_centred_moves_along_the_ground_only():
    joints = trial().joints
    moved = centred(joints, 0, np.array([1.0, -2.0]))
    ground = moved[:, 0, :2]
    np.testing.assert_allclose((ground.min(axis=0) + ground.max(axis=0)) / 2, [1, -2], atol=1e-5)
    np.testing.assert_array_equal(moved[..., 2], joints[..., 2])


@pytest.mark.parametrize(("length", "count"), [(10, 3), (1, 1), (243, 2), (7, 7)])
def test_equal_parts_cover_everything_once(length, count):
    bounds = equal_parts(length, count)
    assert [frame for start, end in bounds for frame in range(start, end)] == list(range(length))
    assert np.ptp([end - start for start, end in bounds]) <= 1


def test_parts_within_cuts_no_more_than_it_must():
    still = np.zeros((500, 2))
    assert parts_within(still, 0.1) == [(0, 500)]
    line = np.stack([np.linspace(0, 6, 100), np.zeros(100)], axis=1)
    assert len(parts_within(line, 1.5)) == 2
    jumps = np.stack([np.arange(4) * 9.0, np.zeros(4)], axis=1)
    assert len(parts_within(jumps, 1.5)) == 4


def test_views_do_not_depend_on_the_order_of_joints_or_on_which_is_the_root():
    order = map_skeleton("h36m17", "mpi17")
    one = trial()
    other = replace(one, joints=order.apply(SKELETON.joints, one.joints))
    for see in (
        lambda part, skeleton: random_views(part, ViewSettings(), skeleton=skeleton, seed=0),
        lambda part, skeleton: rig_views(part, RIG, 1.5, skeleton=skeleton, fps=50.0, detector=PERFECT, seed=0),
    ):
        expected, found = list(see(one, SKELETON)), list(see(other, load_skeleton("mpi17")))
        assert len(found) == len(expected)
        for view, same in zip(found, expected, strict=True):
            np.testing.assert_array_equal(view.joints, order.apply(SKELETON.joints, same.joints))
            np.testing.assert_array_equal(view.keypoints, order.apply_keypoints(SKELETON.joints, same.keypoints))


def test_fifteen_joints_are_seen_as_seventeen_are():
    fewer = map_skeleton("h36m17", "humaneva15")
    other = replace(trial(), joints=fewer.apply(SKELETON.joints, trial().joints))
    skeleton, usual = load_skeleton("humaneva15"), DetectorSettings()
    found = list(rig_views(other, RIG, 1.5, skeleton=skeleton, fps=50.0, detector=usual, seed=0))
    for view, same in zip(found, on_rig(), strict=True):
        np.testing.assert_array_equal(view.joints, fewer.apply(SKELETON.joints, same.joints))
        assert view.keypoints.shape == (len(same.joints), 15, 3)
        assert 0 < np.abs(view.keypoints[..., :2] - fewer.apply(SKELETON.joints, same.keypoints)[..., :2]).mean() < 0.05
