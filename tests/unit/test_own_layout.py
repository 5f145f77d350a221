"""A layout of one's own: a YAML file of joints, and how they become Human3.6M's."""

import numpy as np
import pytest
import yaml

from mixste.detections import read_detections
from mixste.errors import MixsteError
from mixste.joint_maps import map_skeleton
from mixste.skeleton import load_skeleton
from tests.unit.detections.walkers import walker
from tests.unit.lifters import lifter

COCO = load_skeleton("coco17")
MAP = {
    **{name: name for name in load_skeleton("h36m17").joints if name in COCO.joints},
    "hip": {"mean": ["l_hip", "r_hip"]},
    "spine": {"mean": ["l_hip", "r_hip", "l_shoulder", "r_shoulder"]},
    "thorax": {"mean": ["l_shoulder", "r_shoulder"]},
    "neck": {"near": "snout"},
    "head": None,
}


def layout(path, **changes):
    """A file of COCO's joints but for the ears, the nose by another name."""
    names = {name: "snout" if name == "nose" else name for name in COCO.joints if not name.endswith("ear")}
    parents = {new: names.get(COCO.joints[COCO.parents[COCO.index(old)]]) for old, new in names.items()}
    parents["snout"] = None
    left, right = ([names[COCO.joints[i]] for i in side if COCO.joints[i] in names] for side in (COCO.left, COCO.right))
    tree = {"joints": parents, "left": left, "right": right, "h36m17": MAP, **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in tree.items() if value is not None}, sort_keys=False))
    return str(path)


def keypoints(frames=30):
    kept = [index for index, name in enumerate(COCO.joints) if not name.endswith("ear")]
    return walker(frames, (300, 300), 6)[:, kept]


def test_keypoints_of_a_layout_of_ones_own_are_read_mapped_and_lifted(tmp_path):
    own = layout(tmp_path / "mine.yaml")
    np.savez(tmp_path / "a.npz", keypoints=keypoints(), fps=30, image_size=(1920, 1080))
    found = read_detections(tmp_path / "a.npz", skeleton=own)
    assert found.skeleton == own
    people = np.concatenate(found.frames)
    motion = lifter().lift(people, skeleton=own, fps=30, image_size=(1920, 1080))
    assert any("hip averaged: l_hip and r_hip" in text and "neck near: snout" in text for text in motion.report)
    assert any("nothing for head" in text for text in motion.report)
    hip = map_skeleton(own, "h36m17").apply_keypoints(load_skeleton(own).joints, people)[:, 0]
    expected = people[:, [load_skeleton(own).index(name) for name in ("l_hip", "r_hip")], :2].mean(axis=1)
    np.testing.assert_allclose(hip[:, :2], expected, rtol=1e-6)


def test_without_a_map_joints_are_taken_by_their_names(tmp_path):
    own = layout(tmp_path / "plain.yaml", h36m17=None)
    made = map_skeleton(own, "h36m17")
    assert set(made.missing) == {"hip", "spine", "thorax", "neck", "head"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": {"a": None, "b": "c"}}, "describes no skeleton; found: 'c' is not in list|tuple.index"),
        ({"left": None}, "describes no skeleton; found: 'left'; expected: joints: "),
        ({"right": []}, r"found: 1 joint without a parent, \d left and 0 right"),
        ({"joints": ["a", "b"]}, "describes no skeleton"),
    ],
)
def test_a_file_that_describes_no_skeleton_is_one_error(changes, message, tmp_path):
    with pytest.raises(MixsteError, match=message):
        load_skeleton(layout(tmp_path / "wrong.yaml", **changes))


def test_a_map_that_is_not_whole_and_a_file_that_is_not_there_are_one_error(tmp_path):
    own = layout(tmp_path / "part.yaml", h36m17={"hip": "l_hip"})
    with pytest.raises(MixsteError, match=r"joint map .*part\.yaml is wrong; found: missing or unknown"):
        map_skeleton(own, "h36m17")
    with pytest.raises(MixsteError, match=r"cannot read .*absent\.yaml"):
        load_skeleton(str(tmp_path / "absent.yaml"))
