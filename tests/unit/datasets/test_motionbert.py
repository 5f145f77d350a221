"""MotionBERT's file: poses in the image, a scale for the test half, and no code run when it is read."""

import pickle

import numpy as np
import pytest

from mixste.datasets import DataSet, read_subject, recorded_subjects
from mixste.errors import MixsteError
from mixste.skeleton import load_skeleton
from tests.unit.dataset_files import motionbert_half, walk, write_motionbert

TRAIN = {"s_01_act_02_subact_01_ca_01": 12, "s_01_act_02_subact_01_ca_02": 12, "s_05_act_05_subact_02_ca_01": 9}
TEST = {"s_09_act_14_subact_01_ca_03": 15, "s_09_act_15_subact_01_ca_04": 11, "s_11_act_02_subact_01_ca_01": 8}


@pytest.fixture
def data(tmp_path):
    return DataSet("h36m_sh", "motionbert", (write_motionbert(tmp_path / "h36m.pkl", TRAIN, TEST),), "h36m17")


def test_a_video_is_a_clip(data):
    found = [(c.name, c.action, c.camera, len(c.joints)) for c in read_subject(data, "S1").clips]
    assert found == [
        ("s_01_act_02_subact_01", "Directions", "54138969", 12),
        ("s_01_act_02_subact_01", "Directions", "55011271", 12),
    ]
    found = [(c.name, c.action, c.camera, len(c.joints)) for c in read_subject(data, "S9").clips]
    assert found == [
        ("s_09_act_14_subact_01", "Walking", "58860488", 15),
        ("s_09_act_15_subact_01", "WalkDog", "60457274", 11),
    ]


def test_keypoints_have_the_files_confidence_and_joints_lie_in_the_image(data):
    half = motionbert_half(TEST, test=True)
    clip = read_subject(data, "S9").clips[1]
    pixels, height = half["joint_2d"][15:26], 1002  # camera 60457274 is not square
    expected = np.stack([pixels[..., 0] / 500 - 1, pixels[..., 1] / 500 - height / 1000], axis=-1)
    np.testing.assert_allclose(clip.keypoints[..., :2], expected, atol=1e-5)
    np.testing.assert_array_equal(clip.keypoints[..., 2], half["confidence"][15:26])
    np.testing.assert_allclose(clip.joints[..., :2], expected, atol=1e-5)
    np.testing.assert_allclose(clip.joints[..., 2], half["joint3d_image"][15:26, :, 2] / 500, rtol=1e-5)


def test_actions_are_in_human36ms_own_numbering(tmp_path):
    names = (
        *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting"),
        *("SittingDown", "Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether"),
    )
    videos = {f"s_09_act_{number:02}_subact_01_ca_01": 3 for number in range(2, 17)}
    data = DataSet("h36m_sh", "motionbert", (write_motionbert(tmp_path / "all.pkl", TRAIN, videos),), "h36m17")
    assert tuple(clip.action for clip in read_subject(data, "S9").clips) == names


@pytest.mark.parametrize("camera", [1, 2, 3, 4])
def test_a_scale_is_the_files_factor_for_half_the_images_width(tmp_path, camera):
    """Cameras 1 and 4 have images 1000 wide and 1002 high."""
    videos = {f"s_09_act_02_subact_01_ca_{camera:02}": 6}
    data = DataSet("h36m_sh", "motionbert", (write_motionbert(tmp_path / "one.pkl", TRAIN, videos),), "h36m17")
    [clip] = read_subject(data, "S9").clips
    factor = motionbert_half(videos, test=True)["2.5d_factor"]
    np.testing.assert_allclose(clip.scale, factor * 500 / 1000, rtol=1e-6)


def test_scaled_distances_are_metres(data):
    """Of two joints as far from the camera as the root a distance in the image times the scale is the true one."""
    clip, truth = read_subject(data, "S11").clips[0], walk(8, 2)
    depth = (clip.joints[..., 2] - clip.joints[:, :1, 2]) * clip.scale[:, None]
    root = np.abs(depth) < 0.02
    flat = np.linalg.norm(clip.joints - clip.joints[:, :1], axis=-1) * clip.scale[:, None]
    apart = np.linalg.norm(truth - truth[:, :1], axis=-1)
    assert root.sum() > 8
    np.testing.assert_allclose(flat[root], apart[root], atol=0.02)


def test_training_subjects_have_no_scale(data):
    assert [clip.scale for clip in read_subject(data, "S5").clips] == [None]


def test_confidence_may_have_an_axis_of_its_own(tmp_path, data):
    tree = pickle.loads(data.files[0].read_bytes())  # noqa: S301
    for half in tree.values():
        half["confidence"] = half["confidence"][..., None]
    path = tmp_path / "axis.pkl"
    path.write_bytes(pickle.dumps(tree))
    found = read_subject(DataSet("sh", "motionbert", (path,), "h36m17"), "S9").clips
    np.testing.assert_array_equal(found[0].keypoints, read_subject(data, "S9").clips[0].keypoints)


def test_it_has_no_world(data):
    assert recorded_subjects(data) == ()


def test_a_missing_subject_is_named(data):
    with pytest.raises(MixsteError, match=r"no subject S6 in .*h36m\.pkl.*S1, S11, S5, S9"):
        read_subject(data, "S6")


def spoiled(data, change):
    tree = pickle.loads(data.files[0].read_bytes())  # noqa: S301
    change(tree)
    data.files[0].write_bytes(pickle.dumps(tree))
    return data


def drop(half, key):
    return lambda tree: tree[half].pop(key)


def put(half, key, change):
    return lambda tree: tree[half].update({key: change(tree[half][key])})


def other_order(joints):
    order = [load_skeleton("h36m17").joints.index(name) for name in load_skeleton("mpi17").joints]
    return joints[:, order]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.pop("test"), r"h36m\.pkl.*found: train; expected: a dictionary of train and test"),
        (drop("test", "2.5d_factor"), r"h36m\.pkl.*test: .*expected: .*2\.5d_factor"),
        (drop("train", "confidence"), r"h36m\.pkl.*train: .*expected: .*confidence"),
        (put("train", "source", lambda names: names[:-1]), "train with lengths"),
        (put("test", "joint_2d", lambda joints: joints[:, :16]), r"test: joint_2d of shape \(34, 16, 2\)"),
        (put("test", "source", lambda names: ["video"] * len(names)), "unknown name; found: video"),
        (put("test", "camera_name", lambda names: ["7"] * len(names)), "unknown camera; found: 7"),
        (put("test", "joint_2d", lambda joints: np.full_like(joints, np.nan)), "S9, s_09.* NaN or infinite in frame 0"),
        (put("test", "joint3d_image", other_order), r"joints of S9 in .*h36m\.pkl are in another order"),
    ],
)
def test_files_of_another_layout_are_refused(data, change, message):
    with pytest.raises(MixsteError, match=message):
        read_subject(spoiled(data, change), "S9")


class Runs:
    def __reduce__(self):
        return print, ("run",)


def test_code_in_the_file_is_not_run(data, capsys):
    with pytest.raises(MixsteError, match=r"h36m\.pkl.*print"):
        read_subject(spoiled(data, lambda tree: tree.update(extra=Runs())), "S9")
    assert capsys.readouterr().out == ""


def test_a_truncated_file_is_refused_by_name(data):
    data.files[0].write_bytes(data.files[0].read_bytes()[:-500])
    with pytest.raises(MixsteError, match=r"h36m\.pkl"):
        read_subject(data, "S9")
