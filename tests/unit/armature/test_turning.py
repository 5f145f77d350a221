"""Rotations are rotations, reach what they aim at, turn no more than they must, and never flip."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste.armature.turning import about, aim, best_fit, square_to, swing, unit

REST = np.array([0.0, -1.0, 0.0])


def directions(count: int = 50, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, 3)))


def angles(rotations: np.ndarray) -> np.ndarray:
    """How far each rotation (t 3 3) turns from the one before, degrees."""
    steps = Rotation.from_matrix(rotations[1:] @ np.swapaxes(rotations[:-1], 1, 2))
    return np.degrees(steps.magnitude())


def assert_rotations(rotations: np.ndarray) -> None:
    np.testing.assert_allclose(rotations @ np.swapaxes(rotations, 1, 2), np.eye(3) + 0 * rotations, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-9)


def test_a_swing_is_the_least_rotation_between_two_directions():
    start, end = directions(seed=1), directions(seed=2)
    rotations = swing(start, end)
    assert_rotations(rotations)
    np.testing.assert_allclose(np.einsum("tij,tj->ti", rotations, start), end, atol=1e-9)
    between = np.arccos((start * end).sum(axis=1))
    np.testing.assert_allclose(Rotation.from_matrix(rotations).magnitude(), between, atol=1e-7)


def test_a_swing_to_the_same_or_the_opposite_direction_is_none_or_half_a_turn():
    rotations = swing(np.stack([REST, REST]), np.stack([REST, -REST]))
    assert_rotations(rotations)
    np.testing.assert_allclose(rotations[0], np.eye(3))
    np.testing.assert_allclose(rotations[1] @ REST, -REST, atol=1e-12)


def test_about_turns_by_the_right_hand():
    np.testing.assert_allclose(
        about(np.array([0.0, 0, 1]), np.array([np.pi / 2]))[0] @ [1, 0, 0], [0, 1, 0], atol=1e-12
    )


def test_square_to_is_square():
    vectors = directions()
    np.testing.assert_allclose((vectors * square_to(vectors)).sum(axis=1), 0.0, atol=1e-12)


def test_the_best_fit_is_scipys():
    bones = np.array([[0.1, 0, 0], [-0.1, 0.01, 0], [0, 0.2, 0.02]])
    true = Rotation.random(20, random_state=0)
    places = np.stack([true.apply(bone) for bone in bones], axis=1) + np.random.default_rng(0).normal(
        0, 0.01, (20, 3, 3)
    )
    for rotation, seen in zip(best_fit(bones, places), places, strict=True):
        expected, _ = Rotation.align_vectors(seen, bones)
        assert np.degrees((Rotation.from_matrix(rotation) * expected.inv()).magnitude()) < 0.1


def test_a_fit_never_mirrors_and_leaves_what_is_open_unturned():
    line = np.array([[0.0, 1, 0], [0, -1, 0]])
    turned = about(np.array([0.0, 0, 1]), np.array([0.3]))[0]
    rotation = best_fit(line, (line @ turned.T)[None])
    assert_rotations(rotation)
    np.testing.assert_allclose(rotation[0], turned, atol=1e-3)
    assert_rotations(best_fit(np.eye(3), (np.eye(3) * (-1, 1, 1))[None]))


def swinging(frames: int = 120, past: float = 0.05) -> np.ndarray:
    """A bone that swings over the top, past the direction opposite to REST by `past` radians."""
    angle = np.linspace(0.5, 2 * np.pi - 0.5, frames)
    flat = np.stack([0 * angle, -np.cos(angle), np.sin(angle)], axis=1)
    return flat @ about(np.array([0.0, 0, 1]), np.array([past]))[0].T


def test_a_bone_that_passes_the_opposite_of_its_rest_does_not_spin():
    way = swinging()
    plain, calm = swing(REST[None], way), aim(REST, way, 60.0)
    assert_rotations(calm)
    np.testing.assert_allclose(calm @ REST, way, atol=1e-9)
    assert angles(plain).max() > 45  # what the least rotation from rest does there
    assert angles(calm).max() < 8  # the bone itself moves by 2.6 degrees a frame


@pytest.mark.parametrize("twist", [0.0, 0.6, -1.0])
def test_a_bent_hinge_says_how_the_bone_above_is_twisted(twist):
    """A thigh that lifts while twisted, its knee bent by 60 degrees."""
    axis = np.array([1.0, 0, 0])
    lifted = about(axis, -np.linspace(0.0, 1.2, 60))
    true = lifted @ about(REST, np.full(60, twist))
    found = aim(REST, true @ REST, 60.0, axis=axis, bends=np.sin(np.pi / 3) * (true @ axis))
    np.testing.assert_allclose(found @ REST, true @ REST, atol=1e-9)
    off = np.degrees(Rotation.from_matrix(found @ np.swapaxes(true, 1, 2)).magnitude())
    assert off.max() < 5


def test_a_straight_hinge_says_nothing():
    way = swinging()[:40]
    axis = np.array([1.0, 0, 0])
    jitter = 0.02 * np.random.default_rng(0).normal(size=way.shape)
    straight = aim(REST, way, 60.0, axis=axis, bends=jitter)
    np.testing.assert_allclose(straight, aim(REST, way, 60.0), atol=0.05)


def test_one_frame_is_enough():
    np.testing.assert_allclose(aim(REST, REST[None], 60.0)[0], np.eye(3), atol=1e-12)
