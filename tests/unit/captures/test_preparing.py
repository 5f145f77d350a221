from dataclasses import replace

import numpy as np
import pytest

from mixste.captures.cleaning import Limits
from mixste.captures.formats.bvh import Bvh, write_bvh
from mixste.captures.preparing import prepare
from mixste.captures.report import account, summarise
from mixste.captures.source import Source
from mixste.captures.trials import Trial
from mixste.errors import MixsteError
from mixste.joint_maps import load_joint_map
from mixste.skeleton import load_skeleton

SKELETON = load_skeleton("h36m17")
LIMITS = Limits(fps=50.0)
POSITIONS = ("Xposition", "Yposition", "Zposition")


def source(**changed):
    settings = {
        "name": "own",
        "format": "bvh",
        "joint_map": load_joint_map("h36m17"),
        "metres_per_unit": 0.01,
        "up": "y",
    }
    return Source(**settings | changed)


def figure():
    """A standing figure in centimetres, Y up, facing +Z with its left at +X (17 3)."""
    places = dict.fromkeys(SKELETON.joints, (0, 100, 0))
    places |= {"spine": (0, 120, 0), "thorax": (0, 145, 0), "neck": (0, 155, 2), "head": (0, 172, 0)}
    for side, sign in (("l", 1), ("r", -1)):
        places |= {
            f"{side}_hip": (12 * sign, 98, 0),
            f"{side}_knee": (12 * sign, 54, 1),
            f"{side}_ankle": (12 * sign, 9, 0),
        }
        places |= {f"{side}_shoulder": (16 * sign, 143, 0), f"{side}_elbow": (18 * sign, 116, 0)}
        places |= {f"{side}_wrist": (19 * sign, 92, 3)}
    return np.array([places[joint] for joint in SKELETON.joints], dtype=float)


def walk(frames, fps=60.0):
    """The figure walking along +Z at 120 cm/s (t 17 3)."""
    steps = np.zeros((frames, 1, 3))
    steps[:, 0, 2] = np.arange(frames) * 120 / fps
    return figure() + steps


def write(folder, positions, fps=60.0, names=SKELETON.joints):
    """Write positions (t k 3) as a BVH whose joints all hang from the root and have position channels."""
    values = positions.copy()
    values[:, 1:] -= values[:, :1]
    parents = tuple(-1 if joint == 0 else 0 for joint in range(len(names)))
    offsets = np.zeros((len(names), 3))
    values = values.reshape(len(values), 3 * len(names))
    bvh = Bvh(tuple(names), parents, offsets, (POSITIONS,) * len(names), 1 / fps, values)
    write_bvh(folder / "walk_01.bvh", bvh, decimals=6)
    return Trial(folder / "walk_01.bvh", "walk_01", "S1", "walk")


def test_a_recording_is_in_metres_z_up_at_the_target_rate_and_not_mirrored(tmp_path):
    outcome = prepare(write(tmp_path, walk(120)), source(), LIMITS)
    [recording] = outcome.recordings
    assert (recording.source, recording.trial, recording.subject, recording.action) == ("own", "walk_01", "S1", "walk")
    assert recording.fps == 50.0
    assert recording.joints.dtype == np.float32
    assert recording.joints.shape == (96, 17, 3)
    joints = recording.joints.astype(float)
    np.testing.assert_allclose(joints[:, SKELETON.index("head"), 2], 1.72, atol=1e-5)
    np.testing.assert_allclose(joints[:, SKELETON.index("l_ankle"), 2], 0.09, atol=1e-5)
    forward = np.diff(joints[:, 0], axis=0) * 50
    np.testing.assert_allclose(np.linalg.norm(forward, axis=1), 1.2, atol=1e-2)
    left = joints[0, SKELETON.index("l_hip")] - joints[0, SKELETON.index("r_hip")]
    assert np.cross(forward[0], left)[2] > 0  # forward, left and up are right-handed
    np.testing.assert_allclose(joints[0, 0, 1], -0.01 * 120 * 5 / 60, atol=1e-5)


def test_z_up_stays(tmp_path):
    turned = walk(60)[:, :, [2, 0, 1]]
    [recording] = prepare(write(tmp_path, turned), source(up="z"), LIMITS).recordings
    assert recording.joints[0, SKELETON.index("head"), 2] == pytest.approx(1.72)


def test_a_defect_gives_two_pieces(tmp_path):
    positions = walk(200)
    positions[100:] += 500.0
    outcome = prepare(write(tmp_path, positions), source(), LIMITS)
    assert [recording.trial for recording in outcome.recordings] == ["walk_01", "walk_01.1"]
    assert [(defect.first, defect.last) for defect in outcome.defects] == [(99, 100)]
    assert not outcome.rejected


def test_a_wholly_broken_trial_is_rejected_with_its_reason(tmp_path):
    outcome = prepare(write(tmp_path, np.full((60, 17, 3), np.nan)), source(), LIMITS)
    assert outcome.recordings == ()
    assert outcome.rejected == "hip is not a number"


@pytest.mark.parametrize("frames", [0, 3, 20])
def test_a_short_trial_is_rejected(tmp_path, frames):
    outcome = prepare(write(tmp_path, walk(frames)), source(), LIMITS)
    assert outcome.recordings == ()
    assert "too short" in outcome.rejected or "no frames" in outcome.rejected


def test_a_truncated_file_is_rejected_by_name(tmp_path):
    trial = write(tmp_path, walk(60))
    trial.path.write_text(trial.path.read_text()[:-300])
    outcome = prepare(trial, source(), LIMITS)
    assert "walk_01.bvh" in outcome.rejected
    assert "expected: 60 frames of 51" in outcome.rejected


def test_a_missing_joint_stops_with_the_files_name(tmp_path):
    names = ["Pelvis" if joint == "hip" else joint for joint in SKELETON.joints]
    with pytest.raises(MixsteError, match=r"walk_01\.bvh.*no joint hip among Pelvis"):
        prepare(write(tmp_path, walk(60), names=names), source(), LIMITS)


def test_another_frame_rate_than_the_files_is_refused(tmp_path):
    trial = write(tmp_path, walk(60))
    with pytest.raises(MixsteError, match="found: 60 fps; expected: 120 fps"):
        prepare(trial, source(fps=120.0), LIMITS)
    assert prepare(trial, source(fps=60.0), LIMITS).recordings


@pytest.mark.parametrize("factor", [1.0, 0.1, 0.001, 0.0254, 0.004])
def test_a_wrong_unit_is_refused(tmp_path, factor):
    with pytest.raises(MixsteError, match=r"unit of source own is wrong.*metres_per_unit"):
        prepare(write(tmp_path, walk(60)), source(metres_per_unit=factor), LIMITS)


def test_a_file_is_measured_in_its_own_axes(tmp_path):
    figure = prepare(write(tmp_path, walk(60)), source(up="z"), LIMITS).figure
    assert figure.trunk == (0, 55, 0, 0, 0, 0)
    assert figure.legs == pytest.approx(0.89, abs=1e-3)


def test_a_trial_rejected_for_its_speed_names_the_frame_rate(tmp_path):
    positions = walk(60)
    positions[::2] += 20
    trial = write(tmp_path, positions)
    rejected = prepare(trial, source(), LIMITS).rejected
    assert rejected.endswith(
        "faster than 15 m/s; to mend it: correct the frame rate, 60 fps in the file, if it is too high"
    )
    assert "fps of source own, now 60" in prepare(trial, source(fps=60.0), LIMITS).rejected
    assert "frame rate" not in prepare(write(tmp_path, walk(20)), source(), LIMITS).rejected


@pytest.mark.parametrize("changed", [{"metres_per_unit": 0.0}, {"metres_per_unit": float("nan")}, {"up": "x"}])
def test_an_unknown_unit_or_axis_is_refused(changed):
    with pytest.raises(MixsteError, match=r"unknown .* of source own"):
        source(**changed)


def test_the_report_counts_and_names_what_is_left_out(tmp_path):
    positions = walk(200)
    positions[100:] += 500.0
    outcome = prepare(write(tmp_path, positions), source(), LIMITS)
    cut = replace(outcome, trial=replace(outcome.trial, path=tmp_path / "cut.bvh"), recordings=(), rejected="cut short")
    report = summarise([account(source(), outcome), account(source(), cut)], [source()], tmp_path, 50.0)
    assert report["total"]["files"] == 2
    assert report["total"]["rejected_files"] == 1
    assert report["total"]["trimmed_source_frames"] == 2
    assert report["total"]["dropped_source_frames"] == 5  # a rejected file is not counted twice
    assert report["rejected"] == [{"file": "cut.bvh", "frames": 200, "reason": "cut short"}]
    assert report["trimmed"][0]["file"] == "walk_01.bvh"
    assert report["sources"]["own"]["joints"]["hip"] == "exact: hip"
    with pytest.raises(MixsteError, match=r"nothing of source own can be used.*cut short"):
        summarise([account(source(), cut)], [source()], tmp_path, 50.0)


@pytest.mark.parametrize("frames", [40, 3])
def test_what_is_dropped_at_the_start_is_counted(tmp_path, frames):
    assert prepare(write(tmp_path, walk(frames)), source(), LIMITS).dropped == min(5, frames)
