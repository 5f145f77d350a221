"""Feet stand still on the floor and bones keep their lengths; a rooted motion goes where its feet make it go."""

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.refining.ground import ANKLE, contacts, runs
from mixste.refining.legs import reach
from mixste.skeleton import load_skeleton
from tests.unit.motions import FPS, camera, noisy, recorded, world

SKELETON = load_skeleton("h36m17")
ANKLES = [SKELETON.index(f"{side}_ankle") for side in "lr"]
LEG = 0.8


def lengths(joints: np.ndarray) -> np.ndarray:
    parents, children = np.array(SKELETON.limbs).T
    return np.linalg.norm(joints[:, children] - joints[:, parents], axis=-1)


def sliding(joints: np.ndarray, standing: np.ndarray) -> float:
    """The mean speed of standing ankles, metres a second."""
    speed = np.linalg.norm(np.diff(joints[:, ANKLES], axis=0), axis=-1) * FPS
    return float(speed[standing[1:] & standing[:-1]].mean())


@pytest.mark.parametrize("action", ["walking", "running", "squatting"])
def test_standing_feet_are_still_on_a_floor_at_zero_and_no_bone_bends(action):
    lifted = noisy(world(action=action), 0.004).smoothed(8)
    lifted = lifted.changed(joints=lifted.joints + np.array((0, 0, 0.3)))
    grounded = lifted.grounded()
    low = lifted.joints[:, ANKLES].astype(float)
    standing = contacts(low - (0, 0, np.median(low[..., 2].min(axis=1))), FPS, LEG)
    assert sliding(grounded.joints, standing) < 0.5 * sliding(lifted.joints, standing)
    np.testing.assert_allclose(lengths(grounded.joints), lengths(lifted.joints), atol=1e-5)
    assert grounded.joints[..., 2].min() == pytest.approx(ANKLE * LEG, abs=0.015)
    assert np.linalg.norm(grounded.joints - recorded("S1", action), axis=-1).mean() < 0.03
    assert "floor was put at Z = 0" in " ".join(grounded.report)


def test_what_stands_well_already_hardly_moves():
    grounded = world(action="sitting").grounded()
    moved = np.linalg.norm(grounded.joints - recorded("S1", "sitting"), axis=-1)
    assert moved.mean() < 0.02


@pytest.mark.parametrize(("action", "least"), [("walking", 0.85), ("turning", 0.8), ("running", 0.7)])
def test_a_rooted_motion_goes_its_way(action, least):
    """Distances over seconds, against the way that was really gone; the start may be anywhere."""
    true = recorded("S2", action)[:, 0]
    found = camera("S2", action).z_up().grounded()
    assert not found.rooted
    gone, went = (np.linalg.norm(np.diff(path[::60, :2], axis=0), axis=1).sum() for path in (found.joints[:, 0], true))
    assert least * went - 0.05 < gone < 1.15 * went + 0.05
    assert np.abs(found.joints[:, 0, 2] - true[:, 2]).mean() < 0.06
    assert "guessed from the standing feet" in " ".join(found.report)


def test_contacts_are_near_slow_and_lasting():
    ankles = np.zeros((60, 2, 3))
    ankles[:, 1, 2] = 0.3  # the other foot is in the air
    ankles[20:30, 0, 2] = 0.2  # a step
    ankles[40:43, 0, 2] = 0.2  # shorter than a tenth of a second
    found = contacts(ankles, FPS, LEG)
    assert not found[:, 1].any()
    assert runs(found[:, 0]) == [(0, 19), (31, 60)]  # lifting off and setting down are too fast to stand
    ankles[:, 0, 0] = np.arange(60) * 0.02  # 1.2 m/s
    assert not contacts(ankles, FPS, LEG).any()


def test_a_leg_reaches_where_it_can_and_keeps_its_bones():
    rng = np.random.default_rng(0)
    hip = rng.normal(0, 0.1, (50, 3)) + np.array((0, 0, 0.8))
    knee = hip + np.array((0.0, 0.2, -0.35))
    ankle = knee + np.array((0.0, -0.2, -0.35))
    wanted = ankle + rng.normal(0, 0.04, (50, 3))
    wanted[0] = hip[0] - (0, 0, 2)
    knees, ankles = reach(hip, knee, ankle, wanted)
    np.testing.assert_allclose(np.linalg.norm(knees - hip, axis=1), np.linalg.norm(knee - hip, axis=1), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(ankles - knees, axis=1), np.linalg.norm(ankle - knee, axis=1), atol=1e-6)
    short = np.linalg.norm(wanted - hip, axis=1) > 0.9995 * 2 * np.hypot(0.2, 0.35)
    assert short[0]
    np.testing.assert_allclose(ankles[~short], wanted[~short], atol=1e-9)
    assert ((knees - hip)[:, 1] > 0).all()  # it bends to where it bent


def test_a_leg_that_is_there_stays():
    joints = recorded("S1", "running")
    hip, knee, ankle = (joints[:, SKELETON.index(f"l_{part}")] for part in ("hip", "knee", "ankle"))
    knees, ankles = reach(hip, knee, ankle, ankle)
    np.testing.assert_allclose(knees, knee, atol=1e-6)
    np.testing.assert_allclose(ankles, ankle, atol=1e-9)


@pytest.mark.parametrize(
    ("motion", "said"),
    [
        (camera(frames=slice(0, 5)), r"found: frame camera.*motion\.z_up\(\)"),
        (world(frames=slice(0, 5)).changed(joints=np.zeros((5, 17, 3))), "legs without length"),
    ],
)
def test_what_has_no_floor_is_refused(motion, said):
    with pytest.raises(MixsteError, match=said):
        motion.grounded()
