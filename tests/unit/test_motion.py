"""A motion says what it is, refuses what it cannot be, and every change of it is one that was asked for and is told."""

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.motion import Motion
from mixste.skeleton import load_skeleton
from tests.unit.motions import camera, noisy, world

JOINTS = np.zeros((4, 17, 3))
LIMBS = load_skeleton("h36m17").limbs


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"joints": np.zeros((4, 16, 3))}, r"shape \(4, 16, 3\).*17 joints \(h36m17\)"),
        ({"joints": np.zeros((17, 3))}, "a frame at least"),
        ({"joints": np.zeros((0, 17, 3))}, "a frame at least"),
        ({"joints": np.full((1, 17, 3), np.nan)}, "51 values that are NaN"),
        ({"fps": 0.0}, "frame rate.*found: 0.0"),
        ({"fps": float("nan")}, "frame rate"),
        ({"unit": "mm"}, "unit.*found: mm.*m or screen"),
        ({"frame": "up"}, "frame.*found: up.*camera or world"),
        ({"skeleton": "h36m71"}, "there is no h36m71"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(values, said):
    with pytest.raises(MixsteError, match=said):
        Motion(**{"joints": JOINTS, "skeleton": "h36m17", "fps": 50.0, **values})


def test_a_motion_holds_float32_and_takes_one_frame():
    motion = Motion(np.ones((1, 17, 3)), "h36m17", 30)
    assert motion.joints.dtype == np.float32
    assert (motion.unit, motion.frame, motion.rooted, motion.report) == ("m", "camera", True, ())


@pytest.mark.parametrize(
    "change",
    [
        lambda motion: motion.smoothed(),
        lambda motion: motion.z_up(),
        lambda motion: motion.fitted(),
        lambda motion: motion.scaled(1.8),
        lambda motion: motion.z_up().grounded(),
    ],
)
def test_every_change_is_a_new_motion_that_says_so_and_takes_one_frame(change):
    before = camera(frames=slice(0, 1), report=("Lifted.",))
    after = change(before)
    assert after.report[0] == "Lifted."
    assert len(after.report) > 1
    assert before.report == ("Lifted.",)
    assert after.joints.shape == before.joints.shape
    np.testing.assert_array_equal(before.joints, camera(frames=slice(0, 1)).joints)


def test_smoothing_takes_out_noise_and_adds_no_lag():
    true = camera(action="reaching")
    shaken = noisy(true)
    smooth = shaken.smoothed(5.0)

    def error(motion: Motion) -> float:
        return float(np.linalg.norm(motion.joints - true.joints, axis=-1).mean())

    assert error(smooth) < 0.6 * error(shaken)
    lags = [
        np.square(smooth.joints[8 + lag : len(true.joints) - 8 + lag] - true.joints[8:-8]).sum() for lag in (-2, 0, 2)
    ]
    assert lags[1] < min(lags[0], lags[2])


@pytest.mark.parametrize("cutoff", [0.0, 30.0, -1.0, float("nan")])
def test_a_cutoff_that_no_filter_has_is_refused(cutoff):
    with pytest.raises(MixsteError, match="below half the frame rate, 30 Hz"):
        camera().smoothed(cutoff)


def test_a_stated_height_is_the_height_and_makes_metres_of_screen_units():
    from mixste.lifting.trajectory import stature

    motion = camera(subject="S3").changed(unit="screen")
    tall = motion.changed(joints=motion.joints / 7).scaled(1.83)
    assert tall.unit == "m"
    assert stature(tall.joints, load_skeleton("h36m17")) == pytest.approx(1.83, rel=1e-5)
    assert "1.83 m" in tall.report[-1]
    with pytest.raises(MixsteError, match="no person is this tall; found: 183 m"):
        motion.scaled(183)


def test_the_samples_people_are_as_tall_as_their_legs_say():
    """A published share, against bodies that vary by 4 % a bone."""
    from mixste.lifting.trajectory import stature
    from mixste.sample.body import make_body
    from mixste.sample.chance import Chance

    for who in range(4):
        told = stature(camera(subject=f"S{who + 1}").joints, load_skeleton("h36m17"))
        assert told == pytest.approx(make_body(Chance(0, who)).stature / 100, rel=0.04)


def test_fitted_bones_are_constant_alike_on_both_sides_and_near_what_was_given():
    shaken = noisy(world(action="sitting"), 0.005)
    fitted = shaken.fitted()
    pairs = np.array([(parent, child) for parent, child in LIMBS])
    lengths = np.linalg.norm(fitted.joints[:, pairs[:, 1]] - fitted.joints[:, pairs[:, 0]], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-6
    for side in ("knee", "ankle", "elbow", "wrist"):
        left, right = (
            lengths[0, [c for _, c in LIMBS].index(load_skeleton("h36m17").index(f"{s}_{side}"))] for s in "lr"
        )
        assert left == pytest.approx(right, abs=1e-6)
    assert np.linalg.norm(fitted.joints - shaken.joints, axis=-1).mean() < 0.01
    assert "mm on average" in fitted.report[-1]


def test_bones_of_a_person_of_constant_bones_stay():
    motion = world(action="sitting")
    np.testing.assert_allclose(motion.fitted().joints, motion.joints, atol=2e-4)


def test_left_and_right_may_differ_if_asked_for():
    motion = world(frames=slice(0, 20))
    joints = motion.joints.copy()
    joints[:, 16] = joints[:, 15] + 0.9 * (joints[:, 16] - joints[:, 15])
    lame = motion.changed(joints=joints)
    np.testing.assert_allclose(lame.fitted(symmetric=False).joints, joints, atol=2e-4)
    assert np.abs(lame.fitted().joints - joints).max() > 5e-3
