"""A root is found where it was: exactly from exact pixels, within what noise allows, and told how sure."""

import numpy as np
import pytest

from mixste.cameras import load_rig
from mixste.errors import MixsteError
from mixste.geometry import denormalise_screen, project_linear, world_to_camera
from mixste.lifting.trajectory import pinhole
from mixste.motion import Motion
from tests.unit.motions import FPS, camera, recorded

RIG = load_rig("h36m")
LENS = RIG.cameras[1]
INTRINSICS = (*LENS.focal, *LENS.centre)


def scene(action: str = "walking", subject: str = "S1") -> tuple[Motion, np.ndarray, np.ndarray]:
    """A rooted motion, its pixels (t j 2) in a camera of Human3.6M and the path of its root (t 3)."""
    joints = recorded(subject, action).astype(np.float64) + np.array((*RIG.centre, 0.0))
    seen = world_to_camera(joints, np.array(LENS.orientation), np.array(LENS.translation))
    pixels = denormalise_screen(project_linear(seen, LENS.intrinsics), *LENS.size)
    return Motion(seen - seen[:, :1], "h36m17", FPS), pixels, seen[:, 0]


@pytest.mark.parametrize("action", ["walking", "running", "sitting"])
def test_exact_pixels_give_the_path_within_a_millimetre(action):
    motion, pixels, path = scene(action)
    found = motion.located(pixels, INTRINSICS)
    np.testing.assert_allclose(found.joints[:, 0], path, atol=1e-4)
    np.testing.assert_allclose(found.joints - found.joints[:, :1], motion.joints, atol=1e-5)
    assert (found.frame, found.unit, found.rooted) == ("camera", "m", False)
    assert "reprojection error" in found.report[0]


def test_the_error_told_is_the_error_of_the_pixels():
    motion, pixels, _ = scene()
    noise = np.random.default_rng(0).normal(0, 3.0, pixels.shape)
    found = motion.located(pixels + noise, INTRINSICS)
    told = float(found.report[0].split("error ")[1].split()[0])
    seen = found.joints[..., :2] / found.joints[..., 2:] * LENS.focal + LENS.centre
    assert told == pytest.approx(np.linalg.norm(seen - pixels - noise, axis=-1).mean(), rel=0.01)
    assert 3.0 < told < 3.0 * np.sqrt(np.pi / 2)  # of two-dimensional noise, less what the root's three numbers take up


def test_no_other_place_is_nearer_in_pixels():
    motion, pixels, _ = scene()
    pixels = pixels[:20] + np.random.default_rng(1).normal(0, 4.0, (20, 17, 2))
    confidence = np.random.default_rng(2).uniform(0.2, 1.0, (20, 17, 1))
    short = motion.changed(joints=motion.joints[:20])
    found = short.located(np.concatenate([pixels, confidence], axis=-1), INTRINSICS).joints.astype(np.float64)

    def cost(joints: np.ndarray) -> np.ndarray:
        off = joints[..., :2] / joints[..., 2:] * LENS.focal + LENS.centre - pixels
        return (confidence * off**2).sum(axis=(1, 2))

    best = cost(found)
    for step in np.concatenate([np.eye(3), -np.eye(3)]) * (0.005, 0.005, 0.05):
        assert (cost(found + step) > best).all()


def test_smoothing_helps_where_pixels_are_noisy():
    motion, pixels, path = scene()
    shaken = pixels + np.random.default_rng(0).normal(0, 4.0, pixels.shape)
    plain, smooth = (motion.located(shaken, INTRINSICS, smooth_hz=hz) for hz in (None, 2.0))
    off = [np.linalg.norm(found.joints[:, 0] - path, axis=-1).mean() for found in (plain, smooth)]
    assert off[1] < 0.6 * off[0] < 0.05
    assert "cutoff 2 Hz" in smooth.report[-1]


def test_missing_joints_do_not_count_and_frames_without_any_are_filled_and_told():
    motion, pixels, path = scene()
    keypoints = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
    keypoints[:, 5:9] = 0  # missing, at 0, 0
    keypoints[3, 0] = (np.nan, 7, 0.9)
    keypoints[100:110] = 0
    keypoints[-1] = 0
    found = motion.located(keypoints, INTRINSICS)
    known = np.r_[0:100, 110 : len(path) - 1]
    np.testing.assert_allclose(found.joints[known, 0], path[known], atol=1e-4)
    np.testing.assert_allclose(found.joints[100:110, 0], path[100:110], atol=0.05)
    np.testing.assert_allclose(found.joints[-1, 0], found.joints[-2, 0], atol=1e-6)
    assert "In 11 of" in found.report[-1]


def test_a_sure_joint_counts_more_than_an_unsure_one():
    motion, pixels, path = scene()
    keypoints = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
    keypoints[:, 13] += (80.0, 0.0, 0.0)
    off = []
    for confidence in (1.0, 0.05):
        keypoints[:, 13, 2] = confidence
        off.append(np.linalg.norm(motion.located(keypoints, INTRINSICS).joints[:, 0] - path, axis=-1).mean())
    assert off[1] < 0.2 * off[0]


def test_a_person_half_as_tall_is_half_as_far():
    motion, pixels, path = scene()
    half = motion.changed(joints=motion.joints / 2).located(pixels, INTRINSICS)
    np.testing.assert_allclose(half.joints[:, 0], path / 2, atol=1e-4)


def test_a_pinhole_sees_its_angle():
    fx, fy, cx, cy = pinhole((1920, 1080), 90.0)
    assert (fx, fy, cx, cy) == (pytest.approx(960), pytest.approx(960), 960, 540)
    with pytest.raises(MixsteError, match="found: 180 degrees"):
        pinhole((1920, 1080), 180.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keypoints": np.zeros((3, 16, 2))}, r"shape \(3, 16, 2\).*\(3, 17, 2 or 3\)"),
        ({"keypoints": np.zeros((3, 17, 3))}, "no frame of 3 with 2 joints"),
        ({"intrinsics": (0, 1000, 5, 5)}, "no camera's.*above 0"),
        ({"intrinsics": (1000, 1000)}, "no camera's"),
        ({"intrinsics": (1000, 1000, 9000, 500)}, r"joints \d+ pixels from their keypoints on average.*check fx"),
        ({"motion": camera(frames=slice(0, 3)).z_up()}, "'frame': 'world'"),
        ({"motion": camera(frames=slice(0, 3), unit="screen")}, "'unit': 'screen'.*motion.scaled"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, said):
    motion, pixels, _ = scene()
    values = {"motion": motion.changed(joints=motion.joints[:3]), "keypoints": pixels[:3], "intrinsics": INTRINSICS}
    values |= change
    with pytest.raises(MixsteError, match=said):
        values.pop("motion").located(**values)


def test_pixels_of_another_scale_are_told_by_their_distance():
    """Normalised coordinates where pixels were promised."""
    motion, pixels, _ = scene()
    with pytest.raises(MixsteError, match=r"the person would be \d+ m away.*pixels of one image"):
        motion.located(pixels / 1000, INTRINSICS)
