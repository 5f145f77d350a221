"""Invariants of rotations, cameras and screen coordinates."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste import geometry
from mixste.cameras import load_rig
from mixste.skeleton import load_skeleton

RNG = np.random.default_rng(0)
CAMERAS = load_rig("h36m").cameras


def quaternions(n):
    values = RNG.normal(size=(n, 4))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def in_front(n=400, dtype=np.float64):
    z = RNG.uniform(2, 8, n)
    return np.stack([RNG.uniform(-0.42, 0.42, n) * z, RNG.uniform(-0.42, 0.42, n) * z, z], axis=1).astype(dtype)


def test_rotations_agree_with_scipy():
    turns, vectors = quaternions(50), RNG.normal(size=(50, 3))
    reference = Rotation.from_quat(turns, scalar_first=True)
    np.testing.assert_allclose(geometry.rotate(turns, vectors), reference.apply(vectors), atol=1e-12)
    np.testing.assert_allclose(geometry.rotation_matrix(turns), reference.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(geometry.rotation_matrix(turns[0]), reference.as_matrix()[0], atol=1e-12)


def test_the_conjugate_turns_back():
    turns, vectors = quaternions(20), RNG.normal(size=(20, 3))
    back = geometry.rotate(geometry.conjugate(turns), geometry.rotate(turns, vectors))
    np.testing.assert_allclose(back, vectors, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.name)
def test_world_to_camera_and_back(camera, dtype, tolerance):
    pose = np.array(camera.orientation), np.array(camera.translation)
    world = RNG.normal(size=(5, 17, 3)).astype(dtype)
    seen = geometry.world_to_camera(world, *pose)
    expected = geometry.rotate(geometry.conjugate(pose[0]), world - pose[1].astype(dtype))
    assert seen.dtype == dtype
    np.testing.assert_allclose(seen, expected, atol=tolerance * 10)
    np.testing.assert_allclose(geometry.camera_to_world(seen, *pose), world, atol=tolerance * 10)


def test_a_point_rounds_the_same_in_any_batch():
    world = RNG.normal(size=(geometry.BLOCK + 50, 3)).astype(np.float32)
    pose = np.array(CAMERAS[0].orientation), np.array(CAMERAS[0].translation)
    whole = geometry.world_to_camera(world, *pose)
    for part in (slice(0, 1), slice(3, 20), slice(geometry.BLOCK - 7, geometry.BLOCK + 9)):
        np.testing.assert_array_equal(geometry.world_to_camera(world[part], *pose), whole[part])


def test_distortion_by_hand():
    intrinsics = np.array([2.0, 3.0, 0.1, -0.2, 0.1, 0.2, 0.3, 0.01, 0.02])
    point = np.array([1.0, 2.0, 4.0])  # x / z = 0.25, y / z = 0.5, r2 = 0.3125
    r2 = 0.3125
    factor = (1 + 0.1 * r2 + 0.2 * r2**2 + 0.3 * r2**3) + (0.01 * 0.25 + 0.02 * 0.5)
    expected = [2 * (0.25 * factor + 0.01 * r2) + 0.1, 3 * (0.5 * factor + 0.02 * r2) - 0.2]
    np.testing.assert_allclose(geometry.project(point, intrinsics), expected, rtol=1e-12)


def test_the_tangential_term_is_not_opencvs():
    intrinsics = np.array([1.0, 1, 0, 0, 0, 0, 0, 0.1, 0])
    found = geometry.project(np.array([0.3, 0.2, 1.0]), intrinsics)
    opencv = [0.3 + 2 * 0.1 * 0.3 * 0.2, 0.2 + 0.1 * (0.13 + 2 * 0.04)]
    np.testing.assert_allclose(found, [0.3 * 1.03 + 0.1 * 0.13, 0.2 * 1.03], rtol=1e-12)
    assert not np.allclose(found, opencv)


def test_projection_clamps_what_is_far_out():
    intrinsics = CAMERAS[0].intrinsics
    np.testing.assert_array_equal(
        geometry.project(np.array([9.0, 0, 1]), intrinsics), geometry.project(np.array([1.0, 0, 1]), intrinsics)
    )


def test_without_distortion_both_projections_agree():
    intrinsics = np.concatenate([CAMERAS[1].intrinsics[:4], np.zeros(5)])
    points = in_front()
    np.testing.assert_allclose(
        geometry.project(points, intrinsics), geometry.project_linear(points, intrinsics), atol=1e-12
    )


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_back_projection_inverts_projection(camera, dtype, tolerance):
    points = in_front(dtype=dtype)
    back = geometry.back_project(geometry.project(points, camera.intrinsics), points[..., 2], camera.intrinsics)
    assert back.dtype == dtype
    np.testing.assert_allclose(back, points, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("width", "height"), [(1000, 1002), (640, 480), (1920, 1080)])
def test_screen_units(width, height):
    corners = np.array([[0.0, 0], [width, height], [width / 2, height / 2]])
    ratio = height / width
    normalised = geometry.normalise_screen(corners, width, height)
    np.testing.assert_allclose(normalised, [[-1, -ratio], [1, ratio], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(geometry.denormalise_screen(normalised, width, height), corners, atol=1e-9)


def test_flipping_twice_changes_nothing():
    flip = load_skeleton("h36m17").flip
    for channels in (2, 3):
        pose = RNG.normal(size=(4, 17, channels))
        np.testing.assert_array_equal(geometry.flip_pose(geometry.flip_pose(pose, flip), flip), pose)
    intrinsics = CAMERAS[2].intrinsics
    np.testing.assert_array_equal(geometry.flip_camera(geometry.flip_camera(intrinsics)), intrinsics)


def test_a_flipped_camera_sees_the_flipped_pose_mirrored():
    flip, camera = load_skeleton("h36m17").flip, CAMERAS[3].intrinsics
    pose = in_front(17)
    seen = geometry.project(geometry.flip_pose(pose, flip), geometry.flip_camera(camera))
    np.testing.assert_allclose(seen, geometry.flip_pose(geometry.project(pose, camera), flip), atol=1e-12)


def test_flip_leaves_its_input_alone():
    pose = RNG.normal(size=(17, 3))
    before = pose.copy()
    geometry.flip_pose(pose, range(17))
    np.testing.assert_array_equal(pose, before)


def test_whole_numbers_are_points_too():
    turn, place = quaternions(1)[0], np.array([0.25, -0.5, 4.75])
    points = np.array([[1, 1, 4], [0, -2, 5]])
    pairs = [
        (geometry.rotate, (turn,)),
        (lambda own: geometry.world_to_camera(own, turn, place), None),
        (lambda own: geometry.camera_to_world(own, turn, place), None),
        (lambda own: geometry.project(own, CAMERAS[0].intrinsics), None),
        (lambda own: geometry.project_linear(own, CAMERAS[0].intrinsics), None),
        (lambda own: geometry.normalise_screen(own[:, :2], 1000, 800), None),
        (lambda own: geometry.denormalise_screen(own[:, :2], 1000, 800), None),
        (lambda own: geometry.undistort(own[:, :2], CAMERAS[0].intrinsics), None),
    ]
    for function, before in pairs:
        whole, exact = ((*(before or ()), values) for values in (points, points.astype(np.float64)))
        np.testing.assert_array_equal(function(*whole), function(*exact))
