import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.geometry import flip_pose
from mixste.skeleton import FOLDER, load_skeleton

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
OWN_NAMES = ("cmu_amc", "cmu_cgspeed", "cmu_daz")  # their files' names, not ours


def test_h36m17_is_the_fields_order():
    skeleton = load_skeleton("h36m17")
    assert skeleton.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert skeleton.left == (4, 5, 6, 11, 12, 13)
    assert skeleton.right == (1, 2, 3, 14, 15, 16)
    assert skeleton.flip == (0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13)
    assert skeleton.bones[0] == (0, 1)
    assert len(skeleton.bones) == 16


def test_humaneva15_is_the_fields_order():
    skeleton = load_skeleton("humaneva15")
    assert skeleton.parents == (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1)
    assert skeleton.left == (2, 3, 4, 8, 9, 10)
    assert skeleton.right == (5, 6, 7, 11, 12, 13)


def test_mpi17_is_the_data_sets_order():
    skeleton = load_skeleton("mpi17")
    assert skeleton.root == 14
    assert skeleton.parents == (16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1)
    assert skeleton.left == (5, 6, 7, 11, 12, 13)
    assert skeleton.right == (2, 3, 4, 8, 9, 10)


def test_a_layout_has_its_number_of_joints():
    numbers = {
        "coco17": 17,
        "coco18": 18,
        "halpe26": 26,
        "body25": 25,
        "blazepose33": 33,
        "mpi28": 28,
        "smpl24": 24,
        "smplh52": 52,
    }
    numbers |= {"cmu_amc": 31, "cmu_cgspeed": 38, "cmu_daz": 57}
    assert {name: len(load_skeleton(name).joints) for name in numbers} == numbers


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("coco17", {"nose": 0, "r_ear": 4, "l_shoulder": 5, "r_wrist": 10, "l_hip": 11, "r_ankle": 16}),
        ("coco18", {"thorax": 1, "r_wrist": 4, "l_shoulder": 5, "l_ankle": 13, "r_eye": 14, "l_ear": 17}),
        ("halpe26", {"head": 17, "thorax": 18, "hip": 19, "l_big_toe": 20, "r_small_toe": 23, "r_heel": 25}),
        ("body25", {"thorax": 1, "r_wrist": 4, "l_wrist": 7, "hip": 8, "l_ankle": 14, "r_eye": 15, "r_heel": 24}),
        ("blazepose33", {"r_eye_outer": 6, "l_mouth": 9, "l_thumb": 21, "l_hip": 23, "r_foot_index": 32}),
        ("mpi28", {"hip": 4, "head": 7, "l_shoulder": 9, "r_wrist": 16, "l_hip": 18, "r_toe": 27}),
        ("smpl24", {"thorax": 12, "neck": 15, "l_wrist": 20, "r_hand": 23}),
        ("smplh52", {"r_wrist": 21, "l_index1": 22, "l_thumb3": 36, "r_index1": 37, "r_thumb3": 51}),
    ],
)
def test_joints_are_where_the_layouts_documents_say(name, places):
    assert {joint: load_skeleton(name).index(joint) for joint in places} == places


def test_smpl_and_smplh_share_the_body():
    assert load_skeleton("smpl24").parents[:22] == load_skeleton("smplh52").parents[:22]
    assert load_skeleton("smpl24").joints[:22] == load_skeleton("smplh52").joints[:22]


@pytest.mark.parametrize("name", NAMES)
def test_parents_are_a_tree(name):
    skeleton = load_skeleton(name)
    assert skeleton.parents.count(-1) == 1
    for joint in range(len(skeleton.joints)):
        path = [joint]
        while skeleton.parents[path[-1]] >= 0:
            path.append(skeleton.parents[path[-1]])
            assert len(path) <= len(skeleton.joints), "a circle"
        assert path[-1] == skeleton.root
    assert len(skeleton.bones) == len(skeleton.joints) - 1


@pytest.mark.parametrize("name", NAMES)
def test_two_flips_are_none_and_the_root_stays(name):
    skeleton = load_skeleton(name)
    pose = np.random.default_rng(0).normal(size=(2, len(skeleton.joints), 3))
    np.testing.assert_array_equal(flip_pose(flip_pose(pose, skeleton.flip), skeleton.flip), pose)
    assert skeleton.flip[skeleton.root] == skeleton.root


@pytest.mark.parametrize("name", NAMES)
def test_a_flip_keeps_the_tree(name):
    skeleton = load_skeleton(name)
    flipped = {(skeleton.flip[parent], skeleton.flip[child]) for parent, child in skeleton.bones}
    assert flipped == set(skeleton.bones)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OWN_NAMES)))
def test_left_and_right_pair_up_by_name(name):
    skeleton = load_skeleton(name)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        assert skeleton.joints[left].startswith("l_")
        assert skeleton.joints[right] == "r_" + skeleton.joints[left][2:]
    sided = {joint for joint, name in enumerate(skeleton.joints) if name[:2] in ("l_", "r_")}
    assert sided == {*skeleton.left, *skeleton.right}


@pytest.mark.parametrize("name", OWN_NAMES)
def test_left_and_right_of_the_cmu_files_pair_up(name):
    skeleton = load_skeleton(name)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        one, other = skeleton.joints[left], skeleton.joints[right]
        assert other in {"r" + one[1:], one.replace("Left", "Right").replace("left", "right"), one.replace("L", "R", 1)}
    assert len({*skeleton.left, *skeleton.right}) == 2 * len(skeleton.left)


@pytest.mark.parametrize("name", ["h36m17", "h36m16", "humaneva15", "mpi17"])
def test_arms_and_legs_have_eight_rigid_bones(name):
    assert len(load_skeleton(name).limbs) == 8


def test_an_unknown_skeleton_or_joint_is_named():
    with pytest.raises(MixsteError, match=r"coco99.*h36m17"):
        load_skeleton("coco99")
    with pytest.raises(MixsteError, match="tail"):
        load_skeleton("h36m17").index("tail")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("joints: {hip: null, a: b, b: a}\nleft: []\nright: []\n", "a, b apart from the root"),
        ("joints: {hip: null, a: hip, b: hip, c: hip}\nleft: [a, a]\nright: [b, c]\n", "a on a side twice"),
    ],
)
def test_what_is_no_tree_with_two_sides_is_no_skeleton(tmp_path, text, found):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(MixsteError, match=f"describes no skeleton; found: {found}"):
        load_skeleton(str(tmp_path / "own.yaml"))


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(MixsteError, match=r"cannot read .*null (byte|character)"):
        load_skeleton("a\0.yaml")
