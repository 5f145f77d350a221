"""Up is up, whichever way the camera looks."""

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.refining.upright import camera_to_level, down_of
from tests.unit.motions import camera, world

FRAMES = slice(0, 5)


def tilted(degrees: float, roll: float = 0.0) -> np.ndarray:
    """A level camera's axes in those of one that looks down by `degrees`, then is rolled."""
    pitch, turn = np.radians(degrees), np.radians(roll)
    down = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) @ down


def seen(turn: np.ndarray):
    motion = camera(frames=FRAMES)
    return motion.changed(joints=motion.joints @ turn.T)


def expected() -> np.ndarray:
    joints = world(frames=FRAMES).joints
    return joints - joints[:, :1]


def test_a_level_camera_is_the_stated_default():
    upright = camera(frames=FRAMES).z_up()
    np.testing.assert_allclose(upright.joints, expected(), atol=1e-6)
    assert upright.frame == "world"
    assert "level (assumed, not measured)" in upright.report[-1]


@pytest.mark.parametrize("degrees", [10.0, 35.0, -20.0])
def test_a_tilted_camera_is_put_right_by_its_pitch(degrees):
    upright = seen(tilted(degrees)).z_up(pitch=degrees)
    np.testing.assert_allclose(upright.joints, expected(), atol=1e-6)
    assert f"{degrees:g} degrees down" in upright.report[-1]


def test_gravity_says_tilt_and_roll():
    turn = tilted(25.0, roll=40.0)
    upright = seen(turn).z_up(gravity=9.81 * turn @ [0, 1, 0])
    np.testing.assert_allclose(upright.joints[..., 2], expected()[..., 2], atol=1e-6)
    assert "gravity was given" in upright.report[-1]


@pytest.mark.parametrize("pitch", [0, 30, 89.9999999, 90, -90])
def test_the_turn_is_a_rotation_that_brings_down_down(pitch):
    turn = camera_to_level(down_of(pitch))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn @ down_of(pitch), (0, 0, -1), atol=1e-12)


@pytest.mark.parametrize(
    "values",
    [{"gravity": (0, 0, 0)}, {"gravity": (0, 1)}, {"gravity": (0, np.nan, 1)}, {"gravity": (0, 1, 0), "pitch": 5}],
)
def test_what_is_no_direction_is_refused(values):
    with pytest.raises(MixsteError, match="cannot tell what is up"):
        camera(frames=FRAMES).z_up(**values)


def test_a_world_is_upright_already():
    with pytest.raises(MixsteError, match="found: frame world"):
        world(frames=FRAMES).z_up()
