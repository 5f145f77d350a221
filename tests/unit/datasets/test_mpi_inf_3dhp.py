"""MPI-INF-3DHP: metres from millimetres, images of two sizes, frames that are not valid, npz and HDF5 alike."""

import h5py
import numpy as np
import pytest

from mixste.datasets import DataSet, read_subject
from mixste.errors import MixsteError
from mixste.joint_maps import map_skeleton
from mixste.skeleton import load_skeleton
from tests.unit.dataset_files import mpi_pose, mpi_values, save_objects, write_mpi_inf_3dhp

CAMERAS = ["0", "1", "2", "4", "5", "6", "7", "8"]


def data(folder, skeleton="mpi17", **options):
    return DataSet("mpi", "mpi_inf_3dhp", write_mpi_inf_3dhp(folder, **options), skeleton)


def test_training_clips_are_eight_cameras_of_each_sequence(tmp_path):
    clips = read_subject(data(tmp_path), "S1").clips
    assert [(clip.name, clip.camera) for clip in clips] == [
        (name, camera) for name in ("S1 Seq1", "S1 Seq2") for camera in CAMERAS
    ]
    assert {clip.action for clip in clips} == {"Seq1", "Seq2"}
    assert {clip.valid for clip in clips} == {None}
    pixels, joints = mpi_pose(12, 1)
    np.testing.assert_allclose(clips[1].joints, joints / 1000, atol=1e-6)
    np.testing.assert_allclose(clips[1].keypoints[..., :2], pixels / 1024 - 1, atol=1e-6)
    assert (clips[1].keypoints[..., 2] == 1).all()


SQUARE, WIDE = (2048, 2048), (1920, 1080)


@pytest.mark.parametrize(
    ("name", "size"),
    [("TS1", SQUARE), ("TS2", SQUARE), ("TS3", SQUARE), ("TS4", SQUARE), ("TS5", WIDE), ("TS6", WIDE)],
)
def test_a_test_sequence_has_its_own_size_and_says_what_is_valid(tmp_path, name, size):
    [clip] = read_subject(data(tmp_path, tests=(name,)), name).clips
    width, height = size
    pixels, _ = mpi_pose(10, 3)
    expected = np.stack([pixels[..., 0] / width * 2 - 1, pixels[..., 1] / width * 2 - height / width], axis=-1)
    np.testing.assert_allclose(clip.keypoints[..., :2], expected, atol=1e-6)
    assert clip.valid.tolist() == [number % 3 > 0 for number in range(10)]
    assert (clip.name, clip.subject, clip.action) == (name,) * 3


def annotations(path, valid=None, **changes):
    """A test sequence's own file, HDF5 with one person a frame."""
    path.parent.mkdir(parents=True)
    pixels, joints = mpi_pose(10, 3)
    values = {"annot2": pixels[:, None], "univ_annot3": joints[:, None], "annot3": 2 * joints[:, None]}
    values |= {"valid_frame": (np.arange(10) % 3 > 0).astype(float)[:, None], **changes}
    with h5py.File(path, "w") as file:
        for key, array in values.items():
            if array is not None:
                file[key] = array


def test_the_sets_own_files_are_read_alike(tmp_path):
    files = data(tmp_path)
    for name in ("TS1", "TS5"):
        annotations(tmp_path / "test" / name / "annot_data.mat")
    own = DataSet("mpi", "mpi_inf_3dhp", (files.files[0], tmp_path / "test/*/annot_data.mat"), "mpi17")
    for name in ("TS1", "TS5"):
        [one], [other] = read_subject(files, name).clips, read_subject(own, name).clips
        for array in ("keypoints", "joints", "valid"):
            np.testing.assert_array_equal(getattr(one, array), getattr(other, array))
    with pytest.raises(MixsteError, match=r"TS2/annot_data\.mat"):
        read_subject(own, "TS2")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:500]), r"cannot read .*annot_data\.mat"),
        (lambda path: path.write_bytes(b"MATLAB 5.0"), r"cannot read .*annot_data\.mat"),
        (lambda path: (path.unlink(), path.parent.rmdir(), annotations(path, univ_annot3=None)), "no univ_annot3"),
    ],
)
def test_damaged_annotations_are_refused(tmp_path, spoil, message):
    path = tmp_path / "test/TS1/annot_data.mat"
    annotations(path)
    spoil(path)
    own = DataSet("mpi", "mpi_inf_3dhp", (path, tmp_path / "test/*/annot_data.mat"), "mpi17")
    with pytest.raises(MixsteError, match=message):
        read_subject(own, "TS1")


def test_human36ms_joints_are_made_of_the_sets(tmp_path):
    here, there = (read_subject(data(tmp_path, name), "TS1").clips[0] for name in ("mpi17", "h36m17"))
    gather = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
    np.testing.assert_array_equal(there.joints, here.joints[:, gather])
    np.testing.assert_array_equal(there.keypoints, here.keypoints[:, gather])


@pytest.mark.parametrize(
    ("subject", "message"),
    [("S7", r"no subject S7 in .*data_train_3dhp\.npz.*S1 Seq1"), ("TS6", r"no test sequence TS6 in .*test.*TS1, TS5")],
)
def test_a_missing_subject_is_named(tmp_path, subject, message):
    with pytest.raises(MixsteError, match=message):
        read_subject(data(tmp_path), subject)


def test_a_missing_camera_is_named(tmp_path):
    with pytest.raises(MixsteError, match=r"cameras of S1 Seq1 are missing in .*found: cameras 0, 1"):
        read_subject(data(tmp_path, cameras=("0", "1")), "S1")


def other_order(joints):
    return map_skeleton("mpi17", "h36m17").apply(load_skeleton("mpi17").joints, joints)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("data_2d", lambda pixels: pixels[:-1], "2D and 3D are not of one length in TS1.*9 frames of 2D for 10"),
        ("data_2d", lambda pixels: pixels[:, :16], r"TS1 of .*\(10, 16, 2\).*17, 2"),
        ("data_3d", lambda joints: joints[:, :15], r"TS1 of .*\(10, 15, 3\).*17, 3"),
        ("data_3d", lambda joints: joints * np.nan, "TS1.*joints that are NaN or infinite in frame 0"),
        ("data_3d", other_order, r"joints of TS1 of .* are in another order than those of mpi17"),
        ("valid", lambda valid: valid[:-1], r"TS1.*valid of shape \(9,\)"),
        ("valid", lambda valid: None, "TS1 of .*expected: valid"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path, key, change, message):
    values = {**mpi_values(10, 3), "valid": np.ones(10)}
    changed = change(values.pop(key))
    values |= {} if changed is None else {key: changed}
    path = save_objects(tmp_path / "data_test_3dhp.npz", data={"TS1": values})
    with pytest.raises(MixsteError, match=message):
        read_subject(DataSet("mpi", "mpi_inf_3dhp", (path, path), "mpi17"), "TS1")
