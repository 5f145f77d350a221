"""What is wrong with a file of keypoints is one clear error, or a repair or suspicion that the report states."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixste.detections import read_detections, tracks
from mixste.errors import MixsteError
from mixste.skeleton import load_skeleton
from tests.unit.detections.walkers import walker

PERSON = walker(8, (200, 300), 5).astype(np.float64)  # (8 17 3)


def npz(path, **arrays):
    np.savez(path / "a.npz", **arrays)
    return path / "a.npz"


def results(path, entries):
    people = [{"image_id": name, "category_id": 1, "keypoints": np.ravel(joints).tolist()} for name, joints in entries]
    (path / "a.json").write_text(json.dumps(people))
    return path / "a.json"


def openpose(path, numbers, text=None):
    for number in numbers:
        people = [{"pose_keypoints_2d": PERSON[number % 8].ravel().tolist()}]
        (path / f"cam_{number:04d}.json").write_text(text or json.dumps({"people": people}))
    return path


def said(found, text):
    return [sentence for sentence in found.report if text in sentence]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: npz(path, keypoints=np.zeros((5, 17, 3))),
        lambda path: npz(path, keypoints=np.full((5, 17, 2), np.nan)),
        lambda path: npz(path, keypoints=PERSON * (1, 1, 0)),
        lambda path: npz(path, keypoints=np.zeros((0, 17, 3))),
        lambda path: openpose(path, range(3), '{"people": []}'),
        lambda path: openpose(path, range(3), '{"people": [{"pose_keypoints_2d": []}]}'),
        lambda path: results(path, []),
    ],
    ids=["zeros", "nan", "unsure", "no frames", "nobody", "no body", "empty"],
)
def test_nobody_in_the_whole_file_is_an_error(make, tmp_path):
    with pytest.raises(MixsteError, match=f"nobody was detected in {tmp_path}"):
        read_detections(make(tmp_path))


def test_a_single_frame_is_enough(tmp_path):
    found = read_detections(npz(tmp_path, keypoints=PERSON[:1]))
    assert len(found.frames) == 1
    assert tracks(found)[0].keypoints.shape == (1, 17, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("axis", range(3))
def test_what_is_no_number_is_missing_and_said(value, axis, tmp_path):
    keypoints = PERSON.copy()
    keypoints[2:4, 5, axis] = value
    found = read_detections(npz(tmp_path, keypoints=keypoints))
    assert not found.frames[2][0, 5].any()
    assert found.frames[4][0, 5].all()
    assert said(found, "2 of 136 keypoints are not numbers; they are read as missing")


def test_null_in_json_is_missing(tmp_path):
    path = results(tmp_path, [("0.jpg", PERSON[0])])
    path.write_text(path.read_text().replace(str(PERSON[0, 0, 0]), "null"))
    assert said(read_detections(path), "1 of 17 keypoints are not numbers")


def test_negative_confidence_is_missing_and_said(tmp_path):
    keypoints = PERSON.copy()
    keypoints[:, 3, 2] = -1
    found = read_detections(npz(tmp_path, keypoints=keypoints))
    assert not found.frames[0][0, 3].any()
    assert said(found, "8 of 136 keypoints have negative confidence; they are read as missing")


def test_a_coordinate_of_exactly_zero_is_missing_and_said(tmp_path):
    keypoints = PERSON.copy()
    keypoints[2, 3, 0] = 0
    keypoints[3, 3, :2] = 0  # how detectors write a missing joint: not worth a word
    found = read_detections(npz(tmp_path, keypoints=keypoints))
    assert not found.frames[2][0, 3].any()
    assert not found.frames[3][0, 3].any()
    assert said(found, "1 of 136 keypoints have an x or y of exactly 0")


def test_confidence_a_little_above_one_is_cut_and_said_and_more_is_refused(tmp_path):
    keypoints = PERSON.copy()
    keypoints[:, 4, 2] = 1.25
    found = read_detections(npz(tmp_path, keypoints=keypoints))
    assert found.frames[0][0, 4, 2] == 1
    assert said(found, "8 of 136 keypoints have confidence above 1, up to 1.25; it is cut to 1")
    with pytest.raises(MixsteError, match="are on another scale; found: confidence up to 9"):
        read_detections(npz(tmp_path, keypoints=PERSON * (1, 1, 100)))


def test_keypoints_without_scores_are_sure_and_that_is_said(tmp_path):
    found = read_detections(npz(tmp_path, keypoints=PERSON[..., :2]))
    assert (found.frames[0][..., 2] == 1).all()
    assert said(found, "every confidence is 1")


def test_frames_out_of_order_are_sorted_and_missing_numbers_are_frames_without_people(tmp_path):
    names = [(f"{number}.jpg", PERSON[number]) for number in (7, 2, 10 - 10, 4)]
    found = read_detections(results(tmp_path, names))
    assert [len(people) for people in found.frames] == [1, 0, 1, 0, 1, 0, 0, 1]
    np.testing.assert_allclose(found.frames[4][0], PERSON[4], rtol=1e-6)
    assert said(found, "frames stood out of order")
    assert said(found, "4 of the frame numbers 0 to 7 are missing")


def test_names_are_ordered_by_their_number_not_by_their_letters(tmp_path):
    found = read_detections(results(tmp_path, [(f"v1_{number}.png", PERSON[number % 8]) for number in (9, 10, 11)]))
    np.testing.assert_allclose(found.frames[0][0], PERSON[1], rtol=1e-6)
    assert len(found.frames) == 3


def test_numbers_of_a_folder_need_not_begin_at_zero(tmp_path):
    found = read_detections(openpose(tmp_path, [100, 101, 103]))
    assert [len(people) for people in found.frames] == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_1.jpg", "b_2.jpg"], "several videos .* found: frames of 2: a_#, b_#"),
        (["a.jpg", "b.jpg"], "cannot tell the order of frames .* found: a.jpg"),
        ([139, 581929], "is no video; found: 2 frames, numbered 139 to 581929"),
        ([1, "2.jpg"], "both of numbers and of names"),
    ],
)
def test_images_of_no_one_video_are_refused(names, message, tmp_path):
    with pytest.raises(MixsteError, match=message):
        read_detections(results(tmp_path, list(zip(names, PERSON, strict=False))))


def test_truncated_json_is_named_with_file_and_position(tmp_path):
    whole = openpose(tmp_path, range(4)) / "cam_0002.json"
    whole.write_text(whole.read_text()[:40])
    with pytest.raises(MixsteError, match=r"cam_0002\.json; found: text that ends too early at line 1, column 4\d"):
        read_detections(tmp_path)


def test_what_is_wrong_with_a_folder_is_told_before_what_is_wrong_in_one_of_its_files(tmp_path):
    """All JSON is whole, then all of one kind, then no number twice, then a person's keypoints: wherever it stands."""
    openpose(tmp_path, range(8))
    (tmp_path / "cam_0001.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2]}]}')
    (tmp_path / "cam_0002.json").write_text('{"people": [{}]}')
    (tmp_path / "cam_007.json").write_text('{"people": []}')
    (tmp_path / "cam_0005.json").write_text('{"persons": []}')
    (tmp_path / "cam_0006.json").write_text('{"people": [')
    with pytest.raises(MixsteError, match=r"cam_0006\.json; found: text that ends too early"):
        read_detections(tmp_path)
    openpose(tmp_path, [6])
    odd = r"found: something else in cam_0005\.json; expected: OpenPose JSON as in cam_0000\.json"
    with pytest.raises(MixsteError, match=odd):
        read_detections(tmp_path)
    openpose(tmp_path, [5])
    with pytest.raises(MixsteError, match="found: two files of one frame number; expected: one a frame"):
        read_detections(tmp_path)
    (tmp_path / "cam_007.json").unlink()
    with pytest.raises(MixsteError, match=r"the keypoints of .*, cam_0001\.json; found: 2 numbers"):
        read_detections(tmp_path)
    openpose(tmp_path, [1])
    with pytest.raises(MixsteError, match=r"cam_0002\.json; found: a person without keypoints"):
        read_detections(tmp_path)


def test_damaged_json_is_named_with_file_and_position(tmp_path):
    (tmp_path / "a.json").write_text('{"people": [\n{"pose_keypoints_2d" [1]}]}')
    with pytest.raises(MixsteError, match=r"a\.json; found: text that is damaged \(.*\) at line 2, column 22"):
        read_detections(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b'{"people": "\xff"}')
    with pytest.raises(MixsteError, match="no text at byte 12"):
        read_detections(tmp_path / "a.json")


def test_a_truncated_npz_or_parquet_is_named(tmp_path):
    path = npz(tmp_path, keypoints=PERSON)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MixsteError, match=r"cannot read .*a\.npz"):
        read_detections(path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1abc")
    with pytest.raises(MixsteError, match=r"a\.parquet; found: not a whole Parquet file"):
        read_detections(tmp_path / "a.parquet")


def test_people_of_different_layouts_in_one_file_are_refused(tmp_path):
    path = results(tmp_path, [("0.jpg", PERSON[0]), ("1.jpg", np.ones((26, 3)))])
    with pytest.raises(MixsteError, match="found: 1 person with 17 and 1 person with 26 joints"):
        read_detections(path)


@pytest.mark.parametrize("values", [[1, 2, 3, 4], [1, 2, "three"], [[1, 2, 3], [4, 5, 6]]])
def test_keypoints_that_are_no_list_of_triples_are_named_with_their_place(values, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"image_id": 5, "category_id": 1, "keypoints": values}]))
    with pytest.raises(MixsteError, match=r"cannot read the keypoints of .*a\.json, entry 0"):
        read_detections(tmp_path / "a.json")


def test_three_dimensional_predictions_are_refused(tmp_path):
    people = [{"frame_id": 0, "instances": [{"keypoints": PERSON[0].tolist(), "keypoint_scores": [1] * 17}]}]
    (tmp_path / "a.json").write_text(json.dumps(people))
    with pytest.raises(MixsteError, match=r"frame 0; found: keypoints \(17, 3\)"):
        read_detections(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"positions": PERSON}, "found: arrays positions"),
        ({"keypoints": PERSON[..., 0]}, r"found: keypoints of shape \(8, 17\)"),
        ({"keypoints": PERSON[None, None]}, r"found: keypoints of shape \(1, 1, 8, 17, 3\)"),
        ({"keypoints": PERSON[..., :2], "scores": PERSON[:3, :, 2]}, "scores of .* do not fit its keypoints"),
        ({"keypoints": PERSON, "fps": 0}, "found: fps 0; expected: more than 0"),
        ({"keypoints": PERSON, "image_size": (1920, 0)}, "image_size"),
    ],
)
def test_arrays_that_cannot_be_keypoints_are_refused(arrays, message, tmp_path):
    with pytest.raises(MixsteError, match=message):
        read_detections(npz(tmp_path, **arrays))


def test_a_layout_that_does_not_fit_gives_way_to_the_one_that_does_unless_it_was_named(tmp_path):
    skeleton = load_skeleton("mpi17")
    body, random = np.zeros((17, 2)), np.random.default_rng(0)
    for joint in sorted(range(17), key=lambda joint: len(ancestors(skeleton, joint))):
        step = random.normal(0, 1, 2)
        body[joint] = body[skeleton.parents[joint]] + 20 * step / np.linalg.norm(step)
    people = np.concatenate([body + 500, np.ones((17, 1))], axis=-1)[None].repeat(6, axis=0)
    found = read_detections(npz(tmp_path, keypoints=people))
    assert found.skeleton == "mpi17"
    assert said(found, "read as mpi17 and not as coco17, whose bones would be far longer")
    assert read_detections(npz(tmp_path, keypoints=people), skeleton="coco17").skeleton == "coco17"


def ancestors(skeleton, joint):
    parent = skeleton.parents[joint]
    return [] if parent < 0 else [parent, *ancestors(skeleton, parent)]


@pytest.mark.parametrize("frames", [5, "many", True, 10**10])
def test_a_table_with_other_frames_than_its_metadata_says_is_refused(tmp_path, frames):
    columns = {"frame": np.arange(10), "joint": np.zeros(10, np.int64), "x": np.ones(10), "y": np.ones(10)}
    known = {b"mixste": json.dumps({"kind": "detections", "skeleton": "coco17", "frames": frames})}
    pq.write_table(pa.table(columns).replace_schema_metadata(known), tmp_path / "a.parquet")
    with pytest.raises(MixsteError, match=rf"a\.parquet; found: {frames!r} frames in the metadata, and frames 0 to 9"):
        read_detections(tmp_path / "a.parquet")
