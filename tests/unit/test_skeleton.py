import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.skeleton import load_joint_map, load_skeleton

MAPS = ("cmu_amc", "cmu_cgspeed", "cmu_daz", "sample")


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


@pytest.mark.parametrize("name", ["h36m17", "h36m16", "humaneva15"])
def test_a_skeleton_is_sound(name):
    skeleton = load_skeleton(name)
    assert all(parent < child for parent, child in skeleton.bones)
    assert [skeleton.flip[joint] for joint in skeleton.flip] == list(range(len(skeleton.joints)))
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        assert skeleton.joints[left].removeprefix("l_") == skeleton.joints[right].removeprefix("r_")
    assert len(skeleton.limbs) == 8


def test_an_unknown_skeleton_or_joint_is_named():
    with pytest.raises(MixsteError, match=r"coco99.*h36m17"):
        load_skeleton("coco99")
    with pytest.raises(MixsteError, match="tail"):
        load_skeleton("h36m17").index("tail")


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("target", ["h36m17", "h36m16", "humaneva15"])
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


@pytest.mark.parametrize("source", ["{mean: [one]}", "{from: a, along: [b, c]}", "12", "{mean: [a, b], metres: 1}"])
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
    small = load_joint_map("sample").onto(load_skeleton("humaneva15"))
    with pytest.raises(MixsteError, match=r"cannot make h36m17"):
        small.onto(load_skeleton("h36m17"))
