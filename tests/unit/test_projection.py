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


def small_views(**changes):
    """A body of a few centimetres that stands still in 1000 views: no camera moves back, none aims beside it."""
    one = trial(frames=1)
    root = one.joints[:, :1]
    small = replace(one, joints=root + 0.05 * (one.joints - root))
    settings = replace(ViewSettings(), count=1000, aim_std=0.0, **changes)
    return small.joints - root, list(random_views(small, settings, skeleton=SKELETON, seed=0))


def assert_uniform(values, low, high):
    assert low <= values.min()
    assert values.max() <= high
    counts = np.histogram(values, bins=10, range=(low, high))[0]
    assert counts.min() > 60
    assert counts.max() < 140


@pytest.mark.parametrize("distance", [(3.0, 6.5), (2.0, 9.0)])
def test_random_cameras_stand_at_any_distance_of_their_range(distance):
    _, found = small_views(distance=distance)
    assert_uniform(np.array([view.joints[0, 0, 2] for view in found]), *distance)


@pytest.mark.parametrize("focal", [(1.8, 2.8), (1.0, 4.0)])
def test_random_cameras_have_any_focal_length_of_their_range(focal):
    _, found = small_views(focal=focal)
    slopes = [view.joints[..., :2] / view.joints[..., 2:] for view in found]
    lengths = [
        np.linalg.norm(view.keypoints[..., :2]) / np.linalg.norm(slope)
        for view, slope in zip(found, slopes, strict=True)
    ]
    assert_uniform(np.array(lengths), focal[0] - 1e-4, focal[1] + 1e-4)


@pytest.mark.parametrize("std", [0.0, 2.0, 20.0])
def test_random_cameras_are_rolled_by_the_deviation_that_is_set(std):
    body, found = small_views(pitch_std=0.0, roll_std=std)
    up = np.array([np.linalg.lstsq(body[0], (view.joints - view.joints[:, :1])[0], rcond=None)[0][2] for view in found])
    np.testing.assert_allclose(up[:, 2], 0, atol=1e-4)  # no pitch: the world's up lies in the image
    roll = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    np.testing.assert_allclose(roll.std(), std, rtol=0.07, atol=1e-3)
    np.testing.assert_allclose(roll.mean(), 0, atol=0.1 * std + 1e-3)


def test_usual_random_cameras_are_those_of_conf():
    usual = ViewSettings()
    assert (usual.distance, usual.focal) == ((3.0, 6.5), (1.8, 2.8))
    assert (usual.pitch_std, usual.roll_std, usual.aim_std) == (10.0, 2.0, 0.2)


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
