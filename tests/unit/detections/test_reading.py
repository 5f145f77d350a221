import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixste.detections import FORMATS, read_detections, tracks
from mixste.detections.formats.parquet import write_detections
from mixste.detections.people import Detections
from mixste.errors import MixsteError
from tests.unit.detections.walkers import walker
from tests.unit.memory import peak

PERSON = walker(6, (200, 300), 5, seed=4).round(2).astype(np.float64)  # (6 17 3)


def flat(joints: np.ndarray) -> list[float]:
    return joints.reshape(-1).tolist()


def openpose(*people: np.ndarray) -> dict:
    return {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat(joints)} for joints in people]}


def instance(joints: np.ndarray) -> dict:
    return {"keypoints": joints[:, :2].tolist(), "keypoint_scores": joints[:, 2].tolist(), "bbox": [[0, 0, 9, 9]]}


def results(ids, people=PERSON, **more) -> list[dict]:
    return [
        {"image_id": name, "category_id": 1, "keypoints": flat(joints), "score": 2.5, **more}
        for name, joints in zip(ids, people, strict=True)
    ]


def wide(joints: int, frames: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 0.9, (frames, joints, 3)) * (800, 800, 1)


def write(path, document):
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def array_frames(path):
    np.savez(path / "a.npz", keypoints=PERSON)
    return path / "a.npz"


def array_people(path):
    np.savez(path / "a.npz", keypoints=PERSON[:, None, :, :2], scores=PERSON[:, None, :, 2])
    return path / "a.npz"


def bare_array(path):
    np.save(path / "a.npy", PERSON)
    return path / "a.npy"


def table(path):
    columns = {"frame": np.repeat(np.arange(6), 17), "joint": np.tile(np.arange(17), 6)}
    columns |= {name: PERSON[..., axis].ravel() for axis, name in enumerate(("x", "y", "confidence"))}
    pq.write_table(pa.table(columns), path / "a.parquet")
    return path / "a.parquet"


def folder(documents):
    def written(path):
        (path / "frames").mkdir()
        for number, document in enumerate(documents):
            write(path / f"frames/clip_{number:012d}_keypoints.json", document)
        (path / "frames/notes.txt").write_text("not a frame")
        return path / "frames"

    return written


def document(value):
    return lambda path: write(path / "a.json", value)


NAMED = {f"{number}.jpg": joints for number, joints in enumerate(PERSON)}
FILES = {
    "OpenPose JSON": folder([openpose(joints) for joints in PERSON]),
    "AlphaPose results JSON": document(results(NAMED, box=[0, 0, 9, 9])),
    "AlphaPose results JSON, names": document(results(NAMED)),
    "COCO results JSON": document(results(range(6))),
    "OpenPose JSON, AlphaPose's": document({name: openpose(joints) for name, joints in NAMED.items()}),
    "AlphaPose JSON in CMU-Pose's form": document(
        {name: {"version": "x", "bodies": [{"joints": flat(joints)}]} for name, joints in NAMED.items()}
    ),
    "MMPose JSON": document([{"frame_id": n, "instances": [instance(j)]} for n, j in enumerate(PERSON)]),
    "MMPose JSON, demo": document(
        {
            "meta_info": {},
            "instance_info": [{"frame_id": n + 1, "instances": [instance(j)]} for n, j in enumerate(PERSON)],
        }
    ),
    "MMPose JSON, lists": document([[instance(joints)] for joints in PERSON]),
    "MMPose JSON of images": folder([[instance(joints)] for joints in PERSON]),
    "plain JSON": document({"keypoints": PERSON[:, None, :, :2].tolist(), "scores": PERSON[:, None, :, 2].tolist()}),
    "plain JSON, one person": document({"keypoints": PERSON.tolist()}),
    "npz": array_frames,
    "npz, scores": array_people,
    "npy": bare_array,
    "Parquet": table,
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_recognised_by_its_content_and_read_whole(name, tmp_path):
    found = read_detections(FILES[name](tmp_path), skeleton="coco17")
    assert found.format == name.split(", ")[0]
    assert found.report[0] == f"{found.format}: 6 frames, 1 person in each"
    assert [people.shape for people in found.frames] == [(1, 17, 3)] * 6
    np.testing.assert_allclose(np.concatenate(found.frames), PERSON, rtol=1e-6)
    assert found.frames[0].dtype == np.float32
    (track,) = tracks(found)
    np.testing.assert_array_equal(track.keypoints, np.concatenate(found.frames))


@pytest.mark.parametrize(
    ("joints", "layout", "kept"),
    [
        *[(17, "coco17", 17), (18, "coco18", 18), (25, "body25", 25), (26, "halpe26", 26), (33, "blazepose33", 33)],
        *[(133, "coco17", 17), (136, "halpe26", 26)],
    ],
)
def test_the_number_of_joints_tells_the_layout_and_the_report_says_so(joints, layout, kept, tmp_path):
    keypoints = wide(joints)
    np.savez(tmp_path / "a.npz", keypoints=keypoints)
    found = read_detections(tmp_path / "a.npz")
    assert found.skeleton == layout
    np.testing.assert_allclose(found.frames[2][0], keypoints[2, :kept], rtol=1e-6)
    assert str(joints) in found.report[1]
    assert layout in found.report[1]


def test_a_folder_of_frames_holds_their_people_and_not_their_documents(tmp_path):
    """Ninety more files, whose faces are ignored, take what their people's numbers take: a few kB each of 64."""
    people, face = [PERSON[:4]] * 100, np.random.default_rng(0).uniform(0, 800, 2000).tolist()
    for name, frames in (("few", people[:10]), ("many", people)):
        (tmp_path / name).mkdir()
        for number, frame in enumerate(frames):
            document = openpose(*frame)
            document["people"][0]["face_keypoints_2d"] = face
            write(tmp_path / name / f"cam_{number:04d}.json", document)
    read_detections(tmp_path / "few")
    few, many = (peak(lambda name=name: read_detections(tmp_path / name)) for name in ("few", "many"))
    assert many - few < 90 * 6 * PERSON[:4].nbytes


def test_a_ghost_beside_the_person_and_a_frame_with_the_person_in_two_leave_one_whole_track(tmp_path):
    rng = np.random.default_rng(5)
    pose, ghost = (
        rng.uniform((300, 300, 0.5), (700, 1200, 0.8), (25, 3)),
        rng.uniform((10, 300, 0.2), (90, 700, 0.5), (25, 3)),
    )
    moving = [(pose + np.array([4.0, 2.0, 0.0]) * frame).round(2) for frame in range(40)]
    upper = np.arange(25)[:, None] < 11
    for frame, joints in enumerate(moving):
        people = [joints] if frame != 17 else [joints * upper, joints * ~upper]
        write(tmp_path / f"cam01.{frame:04d}.json", openpose(*people, ghost))
    found = read_detections(tmp_path)
    assert (found.skeleton, found.report[0]) == ("body25", "OpenPose JSON: 40 frames, 2 to 3 people in each")
    person, other = tracks(found, least=1)
    np.testing.assert_allclose(person.keypoints, moving, rtol=1e-6)
    np.testing.assert_allclose(other.keypoints, [ghost] * 40, rtol=1e-6)


def test_a_named_layout_overrides_the_recognised_one_and_must_fit(tmp_path):
    np.savez(tmp_path / "a.npz", keypoints=PERSON)
    assert read_detections(tmp_path / "a.npz", skeleton="h36m17").skeleton == "h36m17"
    with pytest.raises(MixsteError, match=r"is not in the layout body25; found: 17 joints a person; expected: 25"):
        read_detections(tmp_path / "a.npz", skeleton="body25")
    with pytest.raises(MixsteError, match="there is no coco19"):
        read_detections(tmp_path / "a.npz", skeleton="coco19")


def test_a_number_of_joints_of_no_layout_is_refused_with_those_that_are(tmp_path):
    np.savez(tmp_path / "a.npz", keypoints=wide(15))
    with pytest.raises(MixsteError, match=r"found: 15 joints a person; expected: one of 17 \(coco17\)"):
        read_detections(tmp_path / "a.npz")


def test_what_a_file_says_of_itself_is_kept_and_may_be_overridden(tmp_path):
    np.savez(tmp_path / "a.npz", keypoints=PERSON, fps=25, image_size=(1920, 1080), skeleton="h36m17")
    found = read_detections(tmp_path / "a.npz")
    assert (found.fps, found.image_size, found.skeleton) == (25.0, (1920, 1080), "h36m17")
    given = read_detections(tmp_path / "a.npz", fps=50, image_size=(800, 600), skeleton="coco17")
    assert (given.fps, given.image_size, given.skeleton) == (50.0, (800, 600), "coco17")


def test_people_of_a_json_may_be_of_another_number_in_every_frame(tmp_path):
    frames = [[], [PERSON[0], PERSON[1]], [PERSON[2]]]
    plain = {"keypoints": [[joints[:, :2].tolist() for joints in frame] for frame in frames]}
    plain["scores"] = [[joints[:, 2].tolist() for joints in frame] for frame in frames]
    found = read_detections(write(tmp_path / "a.json", plain))
    assert [len(people) for people in found.frames] == [0, 2, 1]
    np.testing.assert_allclose(found.frames[1][1], PERSON[1], rtol=1e-6)


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    gap = PERSON.astype(np.float32)[:, None].copy()
    gap[2, 0, 5] = 0
    frames = (gap[0], np.concatenate([gap[1], gap[2]]), np.empty((0, 17, 3), np.float32), gap[3], gap[0][:0])
    written = Detections(frames, "coco17", "npz", (1920, 1080), 29.97)
    write_detections(tmp_path / "a.parquet", written)
    found = read_detections(tmp_path / "a.parquet")
    assert (found.skeleton, found.fps, found.image_size, found.format) == ("coco17", 29.97, (1920, 1080), "Parquet")
    assert len(found.frames) == 5
    for people, expected in zip(found.frames, frames, strict=True):
        np.testing.assert_array_equal(people, expected)


def test_a_table_may_name_its_joints(tmp_path):
    names = ["l_hip", "nose"]
    columns = {"frame": [0, 0], "joint": names, "x": [1.0, 2.0], "y": [3.0, 4.0]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = read_detections(tmp_path / "a.parquet", skeleton="coco17")
    np.testing.assert_array_equal(found.frames[0][0, [0, 11]], [(2, 4, 1), (1, 3, 1)])
    with pytest.raises(MixsteError, match="found: joints l_hip, nose; expected: the joints of coco17, coco18"):
        read_detections(tmp_path / "a.parquet")


def test_what_is_none_of_the_formats_is_one_error_that_lists_them(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "video.mp4").write_bytes(b"\x00\x00\x00 ftypisom")
    (tmp_path / "empty.json").write_bytes(b"")
    write(tmp_path / "config.json", {"a": 1})
    write(tmp_path / "numbers.json", [1, 2])
    for name, found in [
        ("video.mp4", "a file that begins with"),
        ("empty.json", "an empty file"),
        ("config.json", "JSON with keys a"),
        ("numbers.json", "JSON with a list of 2"),
    ]:
        with pytest.raises(MixsteError, match=found) as error:
            read_detections(tmp_path / name)
        assert all(text in str(error.value) for text in FORMATS)
    with pytest.raises(MixsteError, match="No such file"):
        read_detections(tmp_path / "absent.json")
    with pytest.raises(MixsteError, match=r"found: no \.json file"):
        read_detections(tmp_path / "frames")
