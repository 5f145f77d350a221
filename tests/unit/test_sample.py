"""The sample holds what its page says: the same bytes, plausible bodies, feet on the floor, recognisable actions."""

import hashlib
from functools import cache

import numpy as np
import pytest

from mixste.captures.formats.bvh import Bvh, joint_positions, read_bvh
from mixste.errors import MixsteError
from mixste.sample import ACTIONS, SUBJECTS, make_trial, write_sample

FPS = 60
TRIALS = [(subject, action) for subject in SUBJECTS for action in ACTIONS]


@cache
def trial(subject: str, action: str) -> tuple[Bvh, np.ndarray]:
    bvh = make_trial(subject, action)
    return bvh, joint_positions(bvh) / 100


def joint(subject: str, action: str, name: str) -> np.ndarray:
    bvh, positions = trial(subject, action)
    return positions[:, bvh.names.index(name)]


def angle(subject: str, action: str, name: str) -> np.ndarray:
    """The X rotation of a joint, degrees (t,)."""
    bvh, _ = trial(subject, action)
    columns = [
        (owner, channel) for owner, channels in zip(bvh.names, bvh.channels, strict=True) for channel in channels
    ]
    return bvh.values[:, columns.index((name, "Xrotation"))]


def lengths(subject: str) -> dict[str, float]:
    bvh, _ = trial(subject, "walking")
    return dict(zip(bvh.names, np.linalg.norm(bvh.offsets, axis=1) / 100, strict=True))


def contacts(subject: str, action: str) -> np.ndarray:
    """Heels and balls (t 4 3) of both feet: the points that can touch the floor."""
    bvh, _ = trial(subject, action)
    points = np.stack([joint(subject, action, f"{side}_ankle{end}") for side in "rl" for end in ("", "_End")], axis=1)
    points[:, [0, 2], 1] += bvh.offsets[bvh.names.index("r_ankle_End"), 1] / 100
    return points


def cadence(subject: str, action: str) -> float:
    """Strides a second, from the strongest frequency of the thigh's swing."""
    swing = angle(subject, action, "r_hip") - angle(subject, action, "r_hip").mean()
    spectrum = np.abs(np.fft.rfft(swing * np.hanning(len(swing)), 4096))
    return float(np.fft.rfftfreq(4096, 1 / FPS)[spectrum.argmax()])


def test_it_writes_the_same_bytes_twice(tmp_path):
    first, second = (write_sample(tmp_path / name) for name in "ab")
    digests = [[hashlib.sha256(file.read_bytes()).hexdigest() for file in files] for files in (first, second)]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == len(TRIALS) + 1
    assert sum(file.stat().st_size for file in first) < 10e6
    assert not any(b"\r" in file.read_bytes() for file in first)
    assert "synthetic" in first[-1].read_text()
    assert "CC0" in first[-1].read_text()


def test_what_is_written_is_what_was_made(tmp_path):
    write_sample(tmp_path / "sample")
    written = read_bvh(tmp_path / "sample" / "S3" / "turning.bvh")
    made, _ = trial("S3", "turning")
    assert written.names == made.names
    assert written.channels == made.channels
    np.testing.assert_array_equal(written.values, made.values)
    np.testing.assert_allclose(written.frame_time, 1 / FPS, rtol=1e-6)


def test_it_replaces_its_own_folder_and_no_other(tmp_path):
    write_sample(tmp_path / "sample")
    write_sample(tmp_path / "sample")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years")
    with pytest.raises(MixsteError, match="something else"):
        write_sample(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "ten years"


def test_another_seed_gives_other_people():
    assert not np.allclose(make_trial("S1", "walking", 0).offsets, make_trial("S1", "walking", 1).offsets)


def test_subjects_differ_and_are_of_human_size():
    bodies = [lengths(subject) for subject in SUBJECTS]
    assert len({body["l_knee"] for body in bodies}) == len(SUBJECTS)
    for body in bodies:
        assert 0.33 < body["l_knee"] < 0.52
        assert 0.33 < body["l_ankle"] < 0.52
        assert 0.25 < body["l_elbow"] < 0.40
        assert 0.19 < body["l_wrist"] < 0.31
        assert all(body[f"l_{name}"] == body[f"r_{name}"] for name in ("hip", "knee", "ankle", "elbow", "wrist"))


@pytest.mark.parametrize(("subject", "action"), TRIALS)
def test_bodies_move_as_bodies_can(subject, action):
    bvh, positions = trial(subject, action)
    assert 6 * FPS <= len(positions) <= 8 * FPS
    assert np.isfinite(positions).all()
    bones = np.linalg.norm(positions[:, 1:] - positions[:, list(bvh.parents[1:])], axis=-1)
    assert np.ptp(bones, axis=0).max() < 1e-5
    assert np.linalg.norm(np.diff(positions, axis=0), axis=-1).max() * FPS < 15
    for side in "lr":
        assert angle(subject, action, f"{side}_knee").min() > -1
        assert angle(subject, action, f"{side}_knee").max() < 150
        assert angle(subject, action, f"{side}_elbow").min() > -150
        assert angle(subject, action, f"{side}_elbow").max() < 0
        assert angle(subject, action, f"{side}_hip").min() > -125
        assert angle(subject, action, f"{side}_hip").max() < 30
        assert np.abs(angle(subject, action, f"{side}_ankle")).max() < 45


@pytest.mark.parametrize(("subject", "action"), TRIALS)
def test_feet_are_on_the_floor(subject, action):
    lowest = contacts(subject, action)[..., 1].min(axis=1)
    assert lowest.min() > -0.02
    assert lowest.max() < (0.15 if action == "running" else 0.02)


@pytest.mark.parametrize(("subject", "action"), TRIALS)
def test_the_foot_that_stands_stays(subject, action):
    points = contacts(subject, action)
    standing = np.where(points[..., 1].min(axis=1) < 0.005, points[..., 1].argmin(axis=1), -1)
    assert (standing >= 0).mean() > 0.7
    for stand in np.split(np.arange(len(points)), np.flatnonzero(np.diff(standing)) + 1):
        if standing[stand[0]] >= 0:
            ground = points[stand, standing[stand[0]]][:, [0, 2]]
            assert np.linalg.norm(ground - ground[0], axis=1).max() < 0.02


@pytest.mark.parametrize("subject", SUBJECTS)
class TestActions:
    def test_walking_goes_and_its_arms_swing_against_the_legs(self, subject):
        hip = joint(subject, "walking", "hip")[:, [0, 2]]
        speed = np.linalg.norm(np.diff(hip, axis=0), axis=1).mean() * FPS
        assert 0.7 < speed < 1.8
        for side, other in ("lr", "rl"):
            arm, leg = angle(subject, "walking", f"{side}_shoulder"), angle(subject, "walking", f"{other}_hip")
            assert np.corrcoef(arm, leg)[0, 1] > 0.6

    def test_running_is_quicker_and_flies(self, subject):
        assert cadence(subject, "running") > 1.15 * cadence(subject, "walking")
        assert (contacts(subject, "running")[..., 1].min(axis=1) > 0.01).mean() > 0.05

    def test_turning_turns(self, subject):
        across = joint(subject, "turning", "l_hip") - joint(subject, "turning", "r_hip")
        heading = np.unwrap(np.arctan2(across[:, 2], across[:, 0]))
        assert np.degrees(np.abs(np.diff(heading[:: FPS // 4])).sum()) > 180

    def test_squatting_lowers_the_hip_and_bends_the_knees_forwards(self, subject):
        hip, knee, ankle = (joint(subject, "squatting", name) for name in ("l_hip", "l_knee", "l_ankle"))
        low = hip[:, 1].argmin()
        assert np.ptp(hip[:, 1]) > 0.25
        toes = joint(subject, "squatting", "l_ankle_End")[low] - ankle[low]
        assert (knee[low] - (hip[low] + ankle[low]) / 2) @ toes > 0

    def test_sitting_stays_at_the_height_of_the_knee(self, subject):
        hip, knee = (joint(subject, "sitting", name)[:, 1] for name in ("l_hip", "l_knee"))
        assert (np.abs(hip - knee) < 0.08).mean() > 0.25

    def test_reaching_carries_a_hand_away_from_the_body(self, subject):
        reach = [joint(subject, "reaching", f"{side}_wrist") - joint(subject, "reaching", "hip") for side in "lr"]
        assert max(np.linalg.norm(hand[:, [0, 2]], axis=1).max() for hand in reach) > 0.45

    def test_waving_raises_a_hand_and_swings_it(self, subject):
        hands = [joint(subject, "waving", f"{side}_wrist") - joint(subject, "waving", "thorax") for side in "lr"]
        hand = max(hands, key=lambda hand: hand[:, 1].max())
        assert (hand[:, 1] > -0.05).mean() > 0.3
        raised = hand[hand[:, 1] > 0, 1]
        assert len(raised) > FPS
        assert np.ptp(raised) > 0.03
