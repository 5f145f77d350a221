"""HumanEva: cameras found from the ground truth's 2D, joints in their axes, and files that do not fit refused."""

import numpy as np
import pytest

from mixste.datasets import DataSet, read_recordings, read_subject, recorded_subjects
from mixste.errors import MixsteError
from mixste.joint_maps import map_skeleton
from mixste.skeleton import load_skeleton
from tests.unit.dataset_files import H36M, humaneva_camera, save_objects, walk, write_humaneva

ORDER = [load_skeleton("h36m17").index(name) for name in load_skeleton("humaneva15").joints]


def data(folder, **options):
    return DataSet("humaneva", "humaneva", write_humaneva(folder, **options), "humaneva15")


def test_clips_are_three_cameras_of_each_chunk(tmp_path):
    reading = read_subject(data(tmp_path), "Validate_S1")
    assert [(clip.name, clip.camera) for clip in reading.clips] == [
        (name, camera) for name in ("Walking 1 chunk0", "Jog 1 chunk2") for camera in ("C1", "C2", "C3")
    ]
    assert [clip.action for clip in reading.clips] == ["Walking"] * 3 + ["Jog"] * 3
    assert {clip.subject for clip in reading.clips} == {"Validate_S1"}
    assert "C1 0.00, C2 0.00, C3 0.00" in reading.notes[0]


def test_joints_are_in_the_axes_of_the_cameras_that_made_the_2d(tmp_path):
    world = walk(40, 1)[:, ORDER]
    for number, clip in enumerate(read_subject(data(tmp_path), "Train_S1").clips[3:]):
        _, rotation, translation = humaneva_camera(number)
        np.testing.assert_allclose(clip.joints, world @ rotation.T + translation, atol=2e-3)


def test_recordings_are_the_files_world(tmp_path):
    [_, jog] = read_recordings(data(tmp_path), "Train_S1")
    assert (jog.trial, jog.action, jog.fps) == ("Jog 1 chunk2", "Jog", 60)
    np.testing.assert_array_equal(jog.joints, walk(40, 1)[:, ORDER])


def test_subjects_are_named_as_files_can_be(tmp_path):
    assert recorded_subjects(data(tmp_path)) == ("Train_S1", "Validate_S1")


def test_a_detectors_2d_does_not_move_the_cameras(tmp_path):
    truth = read_subject(data(tmp_path / "a"), "Train_S1").clips
    noisy = read_subject(data(tmp_path / "b", change=lambda pixels: pixels + 7), "Train_S1").clips
    np.testing.assert_allclose(noisy[0].keypoints[..., :2], truth[0].keypoints[..., :2] + 7 / 320, atol=1e-6)
    np.testing.assert_array_equal(noisy[0].joints, truth[0].joints)


@pytest.mark.parametrize("change", [lambda joints: joints[:, ::-1], lambda joints: 300 * np.sin(99 * joints)])
def test_2d_that_no_camera_sees_is_refused(tmp_path, change):
    files = write_humaneva(tmp_path, change=change)
    with pytest.raises(MixsteError, match="no camera sees the 3D of Train_S1 as camera C1"):
        read_subject(DataSet("humaneva", "humaneva", (files[0], files[2], files[2]), "humaneva15"), "Train_S1")


def test_shorter_2d_is_refused(tmp_path):
    with pytest.raises(MixsteError, match="not of one length in Walking 1 chunk0, camera 0"):
        read_subject(data(tmp_path, change=lambda pixels: pixels[:-1]), "Train_S1")


def test_a_missing_subject_is_named_as_it_must_be_written(tmp_path):
    with pytest.raises(MixsteError, match=r"no subject Train_S2 .*found: Train_S1, Validate_S1"):
        read_subject(data(tmp_path), "Train_S2")


def test_another_axis_up_is_refused(tmp_path):
    files = write_humaneva(tmp_path)
    lying = map_skeleton("h36m17", "humaneva15").apply(H36M.joints, walk(40)[..., [2, 0, 1]])
    path = save_objects(tmp_path / "lying.npz", positions_3d={"Train/S1": {"Walking 1 chunk0": lying}})
    with pytest.raises(MixsteError, match=r"Z does not point up in .*lying\.npz"):
        read_recordings(DataSet("humaneva", "humaneva", (path, *files[1:]), "humaneva15"), "Train_S1")


def test_nan_in_the_ground_truth_is_refused(tmp_path):
    files = write_humaneva(tmp_path, change=lambda pixels: pixels * np.nan)
    with pytest.raises(MixsteError, match=r"Train_S1 of .*found\.npz.*NaN"):
        read_subject(DataSet("humaneva", "humaneva", (files[0], files[2], files[2]), "humaneva15"), "Train_S1")
