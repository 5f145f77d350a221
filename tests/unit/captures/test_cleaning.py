import numpy as np
import pytest

from mixste.captures.cleaning import Limits, clean
from mixste.skeleton import load_skeleton

SKELETON = load_skeleton("h36m17")
LIMITS = Limits(fps=50, drop_frames=5, max_speed=15.0, bone_tolerance=0.2, min_frames=10)


def walk(frames):
    """A stiff figure that moves at 1 m/s at 50 fps."""
    figure = np.random.default_rng(0).normal(size=(17, 3))
    return figure + np.arange(frames)[:, None, None] * np.array([0.02, 0, 0])


def cut(joints, **keywords):
    pieces, defects = clean(joints, 50.0, SKELETON, LIMITS, **keywords)
    return [(piece.start, piece.stop) for piece in pieces], defects


def test_a_sound_trial_loses_its_first_frames_only():
    assert cut(walk(40)) == ([(5, 40)], [])


def test_a_jump_at_the_start_is_dropped_unseen():
    joints = walk(40)
    joints[0] += 3.0
    assert cut(joints) == ([(5, 40)], [])


def test_a_jump_splits_the_trial_and_is_named():
    joints = walk(60)
    joints[30, SKELETON.index("l_wrist")] += 0.5
    joints[30, SKELETON.index("l_elbow")] += 0.5
    joints[30, SKELETON.index("l_shoulder")] += 0.5
    pieces, defects = cut(joints)
    assert pieces == [(5, 29), (32, 60)]
    [defect] = defects
    assert (defect.first, defect.last) == (29, 31)
    assert "l_" in defect.reason
    assert "faster than 15 m/s" in defect.reason


def test_a_lasting_jump_splits_without_more_loss():
    joints = walk(60)
    joints[30:] += 5.0
    pieces, defects = cut(joints)
    assert pieces == [(5, 29), (31, 60)]
    assert [(defect.first, defect.last) for defect in defects] == [(29, 30)]


def test_not_a_number_is_cut_out():
    joints = walk(60)
    joints[40:43, SKELETON.index("head"), 1] = np.nan
    pieces, defects = cut(joints)
    assert pieces == [(5, 40), (43, 60)]
    assert [(defect.first, defect.last, defect.reason) for defect in defects] == [(40, 42, "head is not a number")]


def test_a_limb_that_changes_its_length_is_cut_out():
    joints = walk(80)
    knee, ankle = SKELETON.index("r_knee"), SKELETON.index("r_ankle")
    growth = np.interp(np.arange(80), [40, 50, 60], [0, 0.5, 0])[:, None]
    joints[:, ankle] += growth * (joints[:, ankle] - joints[:, knee])
    pieces, defects = cut(joints)
    assert pieces == [(5, 45), (56, 80)]
    assert [(defect.first, defect.last) for defect in defects] == [(45, 55)]
    assert defects[0].reason == "the bone r_knee-r_ankle changes its length"


def test_missing_frames_split_the_trial():
    numbers = np.concatenate([np.arange(1, 31), np.arange(34, 64)])
    pieces, defects = cut(walk(60), numbers=numbers)
    assert pieces == [(5, 30), (30, 60)]
    assert [defect.reason for defect in defects] == [
        "frames missing in the file: its frame numbers go from 30 to 34",
    ]


def test_pieces_too_short_are_named():
    joints = walk(60)
    joints[20] = joints[25] = np.nan
    pieces, defects = cut(joints)
    assert pieces == [(5, 20), (26, 60)]
    assert [(defect.first, defect.last) for defect in defects] == [(20, 20), (21, 24), (25, 25)]
    assert defects[1].reason == "too short: 4 frames at 50 fps, fewer than 10"


@pytest.mark.parametrize("frames", [0, 1, 5, 6, 14])
def test_a_short_trial_has_no_piece(frames):
    pieces, defects = cut(walk(frames))
    assert pieces == []
    assert all("too short" in defect.reason for defect in defects)


def test_a_trial_without_any_number_has_no_piece():
    pieces, defects = cut(np.full((30, 17, 3), np.nan))
    assert pieces == []
    assert [(defect.first, defect.last) for defect in defects] == [(5, 29)]


def test_every_frame_after_the_first_is_kept_or_named():
    random = np.random.default_rng(1)
    joints = walk(300)
    joints[random.integers(0, 300, 8)] += 2.0
    joints[random.integers(0, 300, 3)] = np.nan
    pieces, defects = clean(joints, 50.0, SKELETON, LIMITS)
    named = [set(range(piece.start, piece.stop)) for piece in pieces]
    named += [set(range(defect.first, defect.last + 1)) for defect in defects]
    assert sorted(frame for frames in named for frame in frames) == list(range(5, 300))
