import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.joint_maps import MAPS, load_joint_map, map_skeleton
from mixste.skeleton import FOLDER, load_skeleton

FAMILY = ("h36m17", "h36m16", "humaneva15", "mpi17")
LAYOUTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
DETECTED = ("coco17", "coco18", "halpe26", "body25", "blazepose33")


@pytest.mark.parametrize("name", sorted(path.stem for path in MAPS.glob("*.yaml")))
@pytest.mark.parametrize("target", FAMILY)
def test_every_map_makes_every_skeleton(name, target):
    joint_map = load_joint_map(name).onto(load_skeleton(target))
    assert list(joint_map.report()) == list(load_skeleton(target).joints)
    names = sorted(set().union(*(source.needs for source in joint_map.sources)))
    positions = np.random.default_rng(0).normal(size=(2, len(names), 3))
    assert joint_map.apply(names, positions).shape == (2, len(load_skeleton(target).joints), 3)


def write_map(folder, **changed):
    names = {joint: joint for joint in load_skeleton("h36m17").joints} | changed
    path = folder / "own.yaml"
    path.write_text(
        "skeleton: h36m17\njoints:\n" + "".join(f"  {joint}: {source}\n" for joint, source in names.items())
    )
    return path


def test_a_users_map_averages_and_synthesises(tmp_path):
    path = write_map(
        tmp_path,
        hip="{mean: [l_hip, r_hip]}",
        head="{from: neck, along: [thorax, neck], metres: 0.1}",
        l_wrist="{from: l_elbow, along: [l_shoulder, l_elbow], times: 0.5}",
    )
    joint_map, skeleton = load_joint_map(path), load_skeleton("h36m17")
    positions = np.zeros((1, 17, 3))
    positions[0, skeleton.index("l_hip")] = 1, 2, 3
    positions[0, skeleton.index("neck")] = 0, 0, 2
    positions[0, skeleton.index("l_elbow")] = 4, 0, 0
    mapped = joint_map.apply(skeleton.joints, positions)[0]
    np.testing.assert_allclose(mapped[0], [0.5, 1, 1.5])
    np.testing.assert_allclose(mapped[skeleton.index("head")], [0, 0, 2.1])
    np.testing.assert_allclose(mapped[skeleton.index("l_wrist")], [6, 0, 0])
    report = joint_map.report()
    assert report["hip"] == "averaged: l_hip and r_hip"
    assert report["head"] == "synthesised: neck moved by 0.1 m along thorax to neck"
    assert report["l_wrist"].startswith("synthesised: l_elbow moved by 0.5 times")
    assert report["spine"] == "exact: spine"


def test_a_direction_without_length_is_not_a_number(tmp_path):
    joint_map = load_joint_map(write_map(tmp_path, head="{from: neck, along: [thorax, neck], metres: 0.1}"))
    mapped = joint_map.apply(load_skeleton("h36m17").joints, np.zeros((1, 17, 3)))
    assert np.isnan(mapped[0, 10]).all()
    assert np.isfinite(mapped[0, :10]).all()


def test_a_joint_that_the_file_lacks_is_named(tmp_path):
    joint_map = load_joint_map(write_map(tmp_path, hip="Pelvis"))
    with pytest.raises(MixsteError, match=r"own does not fit.*no joint Pelvis.*joint_map"):
        joint_map.apply(load_skeleton("h36m17").joints, np.zeros((1, 17, 3)))


@pytest.mark.parametrize(
    "source",
    [
        "{mean: [one]}",
        "{mean: [a, 1]}",
        "{mean: [a, b], metres: 1}",
        "{near: [a, b]}",
        "{from: a, along: [b, c]}",
        "{from: [], along: [a, b], times: 1}",
        "12",
    ],
)
def test_a_wrong_source_is_refused(tmp_path, source):
    with pytest.raises(MixsteError, match="wrong at hip"):
        load_joint_map(write_map(tmp_path, hip=source))


def test_a_map_without_a_joint_is_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("skeleton: h36m17\njoints: {hip: Hips}\n")
    with pytest.raises(MixsteError, match=r"missing or unknown: .*l_wrist"):
        load_joint_map(path)
    path.write_text("joints: [")
    with pytest.raises(MixsteError, match="YAML"):
        load_joint_map(path)
    with pytest.raises(MixsteError, match="cannot read"):
        load_joint_map(tmp_path / "none.yaml")


def test_a_map_to_a_smaller_skeleton_cannot_make_a_larger(tmp_path):
    small = load_joint_map("h36m17").onto(load_skeleton("humaneva15"))
    with pytest.raises(MixsteError, match=r"cannot make h36m17"):
        small.onto(load_skeleton("h36m17"))


def test_the_gather_from_3dhp_is_the_published_one():
    """From an issue of github.com/Nicholasli1995/EvoSkeleton."""
    positions = np.random.default_rng(0).normal(size=(2, 17, 3))
    source = load_skeleton("mpi17").joints
    gathered = positions[:, [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]]
    np.testing.assert_array_equal(map_skeleton("mpi17", "h36m17").apply(source, positions), gathered)
    back = map_skeleton("h36m17", "mpi17").apply(load_skeleton("h36m17").joints, gathered)
    np.testing.assert_array_equal(back, positions)


def test_3dhp_keeps_the_published_columns_of_its_annotation():
    positions = np.random.default_rng(0).normal(size=(2, 28, 3))
    mapped = map_skeleton("mpi28", "mpi17").apply(load_skeleton("mpi28").joints, positions)
    columns = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
    np.testing.assert_array_equal(mapped, positions[:, columns])


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("target", LAYOUTS)
def test_every_joint_of_every_target_is_there_or_missing(source, target):
    joint_map, joints = map_skeleton(source, target), load_skeleton(source).joints
    positions = np.random.default_rng(0).normal(size=(2, len(joints), 3))
    mapped = joint_map.apply(joints, positions)
    there = np.isfinite(mapped).all(axis=(0, 2))
    assert [joint for joint, here in zip(joint_map.skeleton.joints, there, strict=True) if not here] == [
        joint for joint, how in joint_map.report().items() if how == "missing"
    ]
    assert joint_map.missing == tuple(joint for joint, how in joint_map.report().items() if how == "missing")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_to_itself_changes_nothing(name):
    positions = np.random.default_rng(0).normal(size=(2, len(load_skeleton(name).joints), 3))
    np.testing.assert_array_equal(map_skeleton(name, name).apply(load_skeleton(name).joints, positions), positions)


@pytest.mark.parametrize("source", sorted(set(LAYOUTS) - {"h36m16", "humaneva15"}))
def test_nothing_of_h36m17_is_missing_but_what_smaller_layouts_lack(source):
    assert map_skeleton(source, "h36m17").missing == ()


def test_what_smaller_layouts_lack_is_missing():
    assert map_skeleton("humaneva15", "h36m17").missing == ("spine", "neck")
    assert map_skeleton("h36m17", "coco17").missing == ("nose", "l_eye", "r_eye", "l_ear", "r_ear")


@pytest.mark.parametrize("source", DETECTED)
def test_maps_of_detections_commute_with_the_mirror(source):
    start, end = load_skeleton(source), load_skeleton("h36m17")
    keypoints = np.random.default_rng(0).random((3, len(start.joints), 3))
    mapped = map_skeleton(source, "h36m17").apply_keypoints(start.joints, keypoints)
    mirrored = map_skeleton(source, "h36m17").apply_keypoints(start.joints, keypoints[:, list(start.flip)])
    np.testing.assert_allclose(mirrored, mapped[:, list(end.flip)], atol=1e-12)


def test_coco_says_what_is_not_detected():
    report = map_skeleton("coco17", "h36m17").report()
    assert {joint: how.split(":")[0] for joint, how in report.items() if not how.startswith("exact")} == {
        "hip": "averaged",
        "spine": "averaged",
        "thorax": "averaged",
        "neck": "near",
        "head": "synthesised",
    }


def test_coco_keypoints_by_hand():
    """A person upright in an image whose y points down: shoulders at 300, ears at 200, so the top is at 140."""
    coco, h36m = load_skeleton("coco17"), load_skeleton("h36m17")
    keypoints = np.zeros((1, 17, 3), dtype=np.float32)
    keypoints[..., 2] = 0.9
    for joint, place in {
        "l_ear": (110, 200, 0.6),
        "r_ear": (90, 200, 0.3),
        "l_shoulder": (130, 300, 0.8),
        "r_shoulder": (70, 300, 0.7),
        "l_hip": (120, 500, 0.5),
        "r_hip": (80, 500, 1.0),
        "nose": (100, 205, 0.95),
    }.items():
        keypoints[0, coco.index(joint)] = place
    mapped = map_skeleton("coco17", "h36m17").apply_keypoints(coco.joints, keypoints)[0]
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped[h36m.index("head")], (100, 140, 0.3), rtol=1e-6)
    np.testing.assert_allclose(mapped[h36m.index("neck")], (100, 205, 0.95), rtol=1e-6)
    np.testing.assert_allclose(mapped[h36m.index("thorax")], (100, 300, 0.7), rtol=1e-6)
    np.testing.assert_allclose(mapped[h36m.index("spine")], (100, 400, 0.5), rtol=1e-6)
    np.testing.assert_allclose(mapped[h36m.index("hip")], (100, 500, 0.5), rtol=1e-6)
    np.testing.assert_array_equal(mapped[h36m.index("l_shoulder")], keypoints[0, coco.index("l_shoulder")])


def test_what_was_not_detected_does_not_move_a_mean():
    """OpenPose puts at 0, 0 with confidence 0 what it does not find: in profile, one ear."""
    body, h36m = load_skeleton("body25"), load_skeleton("h36m17")
    keypoints = np.full((2, 25, 3), 0.8)
    for joint, place in {"l_ear": (100, 200), "l_shoulder": (110, 300), "r_shoulder": (90, 300)}.items():
        keypoints[:, body.index(joint), :2] = place
    keypoints[:, body.index("r_ear")] = 0
    keypoints[1, body.index("l_ear")] = 0
    head = map_skeleton("body25", "h36m17").apply_keypoints(body.joints, keypoints)[:, h36m.index("head")]
    np.testing.assert_allclose(head[0], (100, 140, 0.4))
    assert head[1, 2] == 0


def test_a_joint_that_is_taken_as_it_is_keeps_its_place_without_confidence():
    keypoints = np.random.default_rng(0).random((2, 17, 3))
    keypoints[..., 2] = 0
    mapped = map_skeleton("coco17", "h36m17").apply_keypoints(load_skeleton("coco17").joints, keypoints)
    np.testing.assert_array_equal(mapped[:, 13], keypoints[:, load_skeleton("coco17").index("l_wrist")])
    np.testing.assert_allclose(mapped[:, 0], keypoints[:, 11:13].mean(axis=1))


def test_a_missing_keypoint_is_nowhere_with_confidence_0():
    keypoints = np.random.default_rng(0).random((2, 17, 3)) + 1
    mapped = map_skeleton("h36m17", "coco17").apply_keypoints(load_skeleton("h36m17").joints, keypoints)
    np.testing.assert_array_equal(mapped[:, :5], 0)
    assert mapped[:, 5:].min() >= 1


def test_a_line_without_length_in_an_image_moves_nothing():
    coco = load_skeleton("coco17")
    mapped = map_skeleton("coco17", "h36m17").apply_keypoints(coco.joints, np.ones((1, 17, 3)))
    np.testing.assert_array_equal(mapped, 1)


def test_an_image_has_no_metres():
    with pytest.raises(MixsteError, match=r"smpl24 to h36m17 does not fit detections.*head moved by metres"):
        map_skeleton("smpl24", "h36m17").apply_keypoints(load_skeleton("smpl24").joints, np.zeros((1, 24, 3)))


def test_arrays_of_another_layout_are_refused():
    joint_map, joints = map_skeleton("coco17", "h36m17"), load_skeleton("coco17").joints
    with pytest.raises(MixsteError, match=r"found: \(2, 25, 3\).*17 joints"):
        joint_map.apply_keypoints(joints, np.zeros((2, 25, 3)))
    with pytest.raises(MixsteError, match=r"found: \(2, 17, 2\)"):
        joint_map.apply_keypoints(joints, np.zeros((2, 17, 2)))


def test_a_users_map_may_leave_out_and_take_what_is_near(tmp_path):
    path = write_map(tmp_path, neck="null", spine="{near: thorax}")
    joint_map = load_joint_map(path)
    assert joint_map.missing == ("neck",)
    assert (joint_map.report()["neck"], joint_map.report()["spine"]) == ("missing", "near: thorax")
    mapped = joint_map.apply(load_skeleton("h36m17").joints, np.ones((1, 17, 3)))
    assert np.flatnonzero(np.isnan(mapped[0, :, 0])).tolist() == [9]
