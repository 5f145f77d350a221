"""Human3.6M: every camera sees the poses as Human3.6M's own model has it, and files that do not fit are refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste.datasets import DataSet, read_recordings, read_subject
from mixste.errors import MixsteError
from mixste.geometry import denormalise_screen
from mixste.joint_maps import map_skeleton
from mixste.skeleton import load_skeleton
from tests.unit.dataset_files import (
    COCO_SYMMETRY,
    H36M_SYMMETRY,
    all_joints,
    h36m_subjects,
    save_objects,
    walk,
    write_h36m,
)

# The calibration of camera 58860488, and where it stood for S9: facts of Human3.6M, in millimetres.
S9_TURN = (0.13357827067375183, -0.1367100477218628, 0.7689454555511475, -0.6100738644599915)
S9_PLACE = (-1670.9921875, 5211.98583984375, 1528.387939453125)
K, P = (
    (-0.2083381861448288, 0.25548800826072693, -0.0024604974314570427),
    (0.0014843869721516967, -0.0007599993259645998),
)


def data(folder, skeleton="h36m17", **options):
    return DataSet("h36m", "h36m", write_h36m(folder, **options), skeleton)


def test_clips_are_every_camera_of_every_recording(tmp_path):
    clips = read_subject(data(tmp_path), "S1").clips
    assert len(clips) == 3 * 4
    assert {clip.name for clip in clips} == {"Directions", "Directions 1", "WalkDog"}
    assert {clip.action for clip in clips} == {"Directions", "WalkDog"}
    assert {clip.camera for clip in clips} == {"54138969", "55011271", "58860488", "60457274"}
    assert [len(clip.joints) for clip in clips] == [20] * 4 + [21] * 4 + [22] * 4
    assert all((clip.keypoints[..., 2] == 1).all() for clip in clips)
    assert all(clip.joints.dtype == clip.keypoints.dtype == np.float32 for clip in clips)


def test_joints_are_in_each_cameras_axes(tmp_path):
    """Against scipy's rotation and Human3.6M's camera model written out, for one camera of S9."""
    poses = h36m_subjects(("S9",))
    clip = read_subject(data(tmp_path, poses=poses), "S9").clips[2]
    w, x, y, z = S9_TURN
    world = 1000 * poses["S9"]["Directions"].astype(np.float64) - S9_PLACE
    expected = Rotation.from_quat([x, y, z, w]).inv().apply(world.reshape(-1, 3)).reshape(world.shape) / 1000
    np.testing.assert_allclose(clip.joints, expected, atol=2e-6)
    x, y = expected[..., 0] / expected[..., 2], expected[..., 1] / expected[..., 2]
    r2 = x**2 + y**2
    factor = 1 + K[0] * r2 + K[1] * r2**2 + K[2] * r2**3 + P[0] * x + P[1] * y
    pixels = np.stack(
        [
            1149.1407470703125 * (x * factor + P[0] * r2) + 519.8158569335938,
            1148.7989501953125 * (y * factor + P[1] * r2) + 501.40264892578125,
        ],
        axis=-1,
    )
    np.testing.assert_allclose(denormalise_screen(clip.keypoints[..., :2], 1000, 1000), pixels, atol=2e-3)


def test_recordings_are_the_files_world(tmp_path):
    poses = h36m_subjects()
    recordings = read_recordings(data(tmp_path, poses=poses), "S1")
    assert [piece.trial for piece in recordings] == ["Directions", "Directions 1", "WalkDog"]
    assert [piece.action for piece in recordings] == ["Directions", "Directions", "WalkDog"]
    for piece in recordings:
        assert (piece.source, piece.subject, piece.fps) == ("h36m", "S1", 50)
        np.testing.assert_array_equal(piece.joints, poses["S1"][piece.trial])


def test_sixteen_joints_are_those_without_the_neck(tmp_path):
    kept = list(range(9)) + list(range(10, 17))
    about = {"num_joints": 16, "keypoints_symmetry": [[4, 5, 6, 10, 11, 12], [1, 2, 3, 13, 14, 15]]}
    files = data(tmp_path / "16", "h36m16", change=lambda pixels: pixels[:, kept], metadata=about)
    few, all17 = read_subject(files, "S1").clips[0], read_subject(data(tmp_path / "17"), "S1").clips[0]
    np.testing.assert_array_equal(few.joints, all17.joints[:, kept])
    np.testing.assert_array_equal(few.keypoints, all17.keypoints[:, kept])
    with pytest.raises(MixsteError, match=r"h36m16, which has no neck.*data\.skeleton to h36m16"):
        read_subject(replace(files, skeleton="h36m17"), "S1")


def coco(pixels):
    """COCO's joints as far as Human3.6M has them, the face's at the neck and the head."""
    order = [9, 9, 9, 10, 10, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]
    return pixels[:, order]


def test_coco_keypoints_are_mapped_and_reported(tmp_path):
    about = {"layout_name": "coco", "keypoints_symmetry": COCO_SYMMETRY}
    reading = read_subject(data(tmp_path / "coco", change=coco, metadata=about), "S1")
    truth = read_subject(data(tmp_path / "gt"), "S1").clips[0].keypoints
    names = load_skeleton("h36m17").joints
    for name in ("l_wrist", "r_knee", "l_hip"):
        np.testing.assert_array_equal(reading.clips[0].keypoints[:, names.index(name)], truth[:, names.index(name)])
    hips = truth[:, [names.index("l_hip"), names.index("r_hip")]].mean(axis=1)
    np.testing.assert_allclose(reading.clips[0].keypoints[:, 0], hips, atol=1e-6)
    assert reading.keypoints["l_wrist"] == "exact: l_wrist"
    assert reading.keypoints["hip"] == "averaged: l_hip and r_hip"


def test_a_third_channel_is_the_confidence(tmp_path):
    sure = lambda pixels: np.concatenate([pixels, np.full_like(pixels[..., :1], 0.25)], axis=-1)  # noqa: E731
    assert (read_subject(data(tmp_path, change=sure), "S1").clips[0].keypoints[..., 2] == 0.25).all()


def test_longer_2d_is_cut_and_said(tmp_path):
    reading = read_subject(data(tmp_path, extra=3), "S1")
    assert {len(clip.keypoints) for clip in reading.clips} == {20, 21, 22}
    assert "cut in 12 videos: up to 3 frames more of 2D than of 3D" in reading.notes


@pytest.mark.parametrize("extra", [-1, 51])
def test_2d_of_another_length_is_refused(tmp_path, extra):
    with pytest.raises(MixsteError, match=rf"not of one length in Directions, camera 0.*{20 + extra} frames of 2D"):
        read_subject(data(tmp_path, extra=extra), "S1")


def test_a_recording_that_is_not_there_is_said(tmp_path):
    reading = read_subject(data(tmp_path, poses=h36m_subjects(("S11",), ("Directions 1", "Photo", "Photo 1"))), "S11")
    [note] = reading.notes
    assert note.startswith("fewer than two recordings of Directions (1), Discussion (0), ")
    assert "Photo" not in note


@pytest.mark.parametrize(
    ("subject", "message"), [("S7", r"no subject S7 in .*3d_h36m\.npz.*found: S1"), ("S2", "no subject S2")]
)
def test_a_missing_subject_is_named(tmp_path, subject, message):
    with pytest.raises(MixsteError, match=message):
        read_subject(data(tmp_path), subject)


def test_a_subject_whose_cameras_nobody_knows(tmp_path):
    files = save_objects(tmp_path / "3d.npz", positions_3d={"S2": {"Walking": all_joints(walk(9))}})
    with pytest.raises(MixsteError, match=r"no camera of Human3\.6M is known for subject S2"):
        read_subject(DataSet("h36m", "h36m", (files, files), "h36m17"), "S2")


def rewrite(folder, poses=None, positions=None, metadata=None):
    """Replace parts of the files."""
    whole = {"S1": {"Walking": all_joints(walk(20))}} if poses is None else poses
    about = {"num_joints": 17, "keypoints_symmetry": H36M_SYMMETRY} if metadata is None else metadata
    seen = {"S1": {"Walking": [np.zeros((20, 17, 2), np.float32)] * 4}} if positions is None else positions
    files = save_objects(folder / "3d.npz", positions_3d=whole)
    return DataSet(
        "h36m", "h36m", (files, save_objects(folder / "2d.npz", positions_2d=seen, metadata=about)), "h36m17"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": {"S1": {"Walking": [np.zeros((20, 17, 2))] * 3}}}, r"no 2D of Walking, camera 3.*3 cameras"),
        ({"positions": {"S1": {"Sitting": []}}}, r"no 2D of Walking, camera 0.*Sitting"),
        ({"positions": {"S9": {}}}, r"no subject S1 in .*2d\.npz.*S9"),
        ({"positions": {"S1": {}}}, r"subject S1 of .*2d\.npz is empty"),
        ({"positions": [1, 2]}, r"2d\.npz.*a dictionary of subjects"),
        ({"positions": {"S1": {"Walking": [np.zeros((20, 15, 2))] * 4}}}, r"camera 0.*\(20, 15, 2\).*17, 2"),
        ({"poses": {"S1": {"Walking": walk(20)}}}, r"S1, Walking of .*3d\.npz.*\(20, 17, 3\).*32, 3"),
        ({"metadata": {"num_joints": 17}}, r"2d\.npz.*keypoints_symmetry"),
        ({"metadata": {"num_joints": 17, "keypoints_symmetry": [[1], [2]]}}, r"2d\.npz is in an unknown order"),
        ({"metadata": {"num_joints": 17, "keypoints_symmetry": [[1], [2, 3]]}}, "as many left as right"),
    ],
)
def test_files_of_another_layout_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(MixsteError, match=message):
        read_subject(rewrite(tmp_path, **changes), "S1")


@pytest.mark.parametrize("key", ["positions_3d", "positions_2d", "metadata"])
def test_a_missing_key_is_named(tmp_path, key):
    files = list(write_h36m(tmp_path))
    number = 0 if key == "positions_3d" else 1
    kept = {name: value for name, value in np.load(files[number], allow_pickle=True).items() if name != key}
    np.savez(files[number], **{"else": np.zeros(1)}, **kept)
    with pytest.raises(MixsteError, match=rf"{files[number].name}.*{key}"):
        read_subject(DataSet("h36m", "h36m", tuple(files), "h36m17"), "S1")


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(tmp_path, number, kept):
    files = write_h36m(tmp_path)
    content = files[number].read_bytes()
    files[number].write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(MixsteError, match=files[number].name):
        read_subject(DataSet("h36m", "h36m", files, "h36m17"), "S1")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MixsteError, match=r"none\.npz"):
        read_subject(DataSet("h36m", "h36m", (tmp_path / "none.npz",) * 2, "h36m17"), "S1")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_named_with_its_frame(tmp_path, value):
    def spoil(pixels):
        pixels[7, 3, 1] = value
        return pixels

    with pytest.raises(MixsteError, match=r"S1, Directions, camera 54138969.*keypoints .* in frame 7"):
        read_subject(data(tmp_path, change=spoil), "S1")


def test_left_and_right_swapped_in_the_2d_are_found(tmp_path):
    flip = list(load_skeleton("h36m17").flip)
    with pytest.raises(MixsteError, match=r"left and right are swapped in .*2d_h36m_gt"):
        read_subject(data(tmp_path, change=lambda pixels: pixels[:, flip]), "S1")


def test_2d_in_another_order_is_found(tmp_path):
    order = [load_skeleton("h36m17").joints.index(name) for name in load_skeleton("mpi17").joints]
    with pytest.raises(MixsteError, match=r"joints are in another order.*pixels away in the median frame of S1"):
        read_subject(data(tmp_path, change=lambda pixels: pixels[:, order]), "S1")


def test_3d_in_another_order_is_found(tmp_path):
    mixed = map_skeleton("h36m17", "mpi17").apply(load_skeleton("h36m17").joints, walk(20))
    files = rewrite(tmp_path, poses={"S1": {"Walking": all_joints(mixed)}})
    with pytest.raises(MixsteError, match=r"the joints of S1 in .* are in another order than those of h36m17"):
        read_subject(files, "S1")


def test_a_detectors_errors_are_no_other_order(tmp_path):
    noise = np.random.default_rng(0)
    noisy = lambda pixels: pixels + noise.normal(0, 12, pixels.shape).astype(np.float32)  # noqa: E731
    assert len(read_subject(data(tmp_path, change=noisy), "S1").clips) == 12
