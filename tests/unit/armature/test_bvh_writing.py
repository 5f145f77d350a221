"""A motion saved as BVH is what was fitted, in our reader and another's: bones of one length, angles without jumps."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste.armature import fit, to_bvh, write_armature
from mixste.armature.bvh import euler
from mixste.armature.rest import load_rest
from mixste.captures.formats.bvh import joint_positions, read_bvh
from mixste.errors import MixsteError
from mixste.motion import Motion
from mixste.sample import ACTIONS
from mixste.skeleton import load_skeleton
from tests.unit.motions import camera, noisy, world

SKELETON = load_skeleton("h36m17")
LAYOUTS = ("h36m17", "h36m16", "mpi17", "mpi28", "humaneva15", "coco17", "halpe26", "body25", "blazepose33", "smpl24")


def read_back(path, names=SKELETON.joints) -> np.ndarray:
    bvh = read_bvh(path)
    return joint_positions(bvh)[:, [bvh.names.index(name) for name in names]]


@pytest.mark.parametrize("action", ["running", "sitting", "reaching"])
def test_the_file_holds_the_fitted_skeleton_to_a_tenth_of_a_millimetre(action, tmp_path):
    motion = noisy(world("S4", action), 0.01)
    positions = read_back(motion.save(tmp_path / "m.bvh"))
    np.testing.assert_allclose(positions, fit(motion).positions, atol=1e-4)
    x, y, z = np.moveaxis(positions, -1, 0)
    np.testing.assert_allclose(np.stack([x, -z, y], axis=-1), motion.fitted().joints, atol=1e-4)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_has_constant_bones_is_in_the_file_as_it_was(action, tmp_path):
    motion = world("S2", action)
    x, y, z = np.moveaxis(read_back(motion.save(tmp_path / "m.bvh")), -1, 0)
    np.testing.assert_allclose(np.stack([x, -z, y], axis=-1), motion.joints, atol=2e-3)


def test_bones_keep_their_lengths_to_a_millionth(tmp_path):
    positions = read_back(noisy(camera(action="turning"), 0.02).save(tmp_path / "m.bvh"))
    parents, children = np.array(SKELETON.bones).T
    lengths = np.linalg.norm(positions[:, children] - positions[:, parents], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-6


def test_another_parser_finds_the_same_joints(tmp_path):
    bvhio = pytest.importorskip("bvhio")
    motion = noisy(world("S3", "running", slice(0, 40)), 0.01)
    root = bvhio.readAsHierarchy(str(motion.save(tmp_path / "m.bvh")))
    positions = fit(motion).positions
    for frame in (0, 17, 39):
        root.loadPose(frame)
        found = {joint.Name: np.array(joint.PositionWorld) for joint, _, _ in root.layout()}
        assert tuple(found) == SKELETON.joints
        np.testing.assert_allclose(np.stack(list(found.values())), positions[frame], atol=1e-4)


def test_the_file_says_its_speed_stands_up_and_ends_in_hands_feet_and_head(tmp_path):
    motion = camera(frames=slice(0, 10))
    bvh = read_bvh(motion.save(tmp_path / "m.bvh"))
    assert bvh.frame_time == pytest.approx(1 / 60, abs=1e-8)
    assert len(bvh.values) == 10
    ends = {name: offset for name, offset in zip(bvh.names, bvh.offsets, strict=True) if name.endswith("_End")}
    assert set(ends) == {f"{leaf}_End" for leaf in ("l_wrist", "r_wrist", "l_ankle", "r_ankle", "head")}
    assert 0.15 < np.linalg.norm(ends["l_wrist_End"]) < 0.25
    assert ends["l_wrist_End"][0] == -ends["r_wrist_End"][0]
    assert ends["r_ankle_End"][2] > 0.1
    positions = read_back(tmp_path / "m.bvh")
    assert (positions[:, SKELETON.index("head"), 1] - positions[:, SKELETON.index("l_ankle"), 1]).min() > 1.2


def test_who_faces_the_camera_faces_forward_in_the_file():
    """At rest towards +Z, and so where they face a camera that looks along its own Z."""
    rest = load_rest("h36m17").joints * (1, -1, -1) * 1.7 + (0.2, 0.1, 4.0)
    bvh = to_bvh(Motion(rest[None], "h36m17", 30.0, rooted=False))
    np.testing.assert_allclose(bvh.values[0, 3:], 0.0, atol=1e-4)
    np.testing.assert_allclose(bvh.values[0, :3], (0.2, -0.1, -4.0), atol=1e-6)


def test_centimetres_are_a_hundred_times_the_metres(tmp_path):
    motion = world(frames=slice(0, 5))
    for unit in ("m", "cm"):
        write_armature(tmp_path / unit, motion, unit=unit)
    np.testing.assert_allclose(read_back(tmp_path / "cm"), 100 * read_back(tmp_path / "m"), atol=1e-3)


@pytest.mark.parametrize("action", ACTIONS)
def test_no_joint_flips_and_knees_and_elbows_are_hinges(action):
    motion = world("S5", action)
    rotations = fit(motion).rotations
    steps = np.degrees(
        Rotation.from_matrix((np.swapaxes(rotations[:-1], 2, 3) @ rotations[1:]).reshape(-1, 3, 3)).magnitude()
    ).reshape(-1, 17)
    assert steps.max() < 30
    bvh = to_bvh(motion)
    columns = [(name, channel[0]) for name, own in zip(bvh.names, bvh.channels, strict=True) for channel in own]
    for side in "lr":
        knee = {axis: bvh.values[:, columns.index((f"{side}_knee", axis))] for axis in "XYZ"}
        assert max(np.abs(knee["Y"]).max(), np.abs(knee["Z"]).max()) < 10
        assert knee["X"].min() > -5  # knees bend backwards only


def test_angles_go_on_through_what_two_ways_of_writing_them_share():
    """A joint whose middle angle passes 90 degrees: the plain angles jump by half a turn there, these do not."""
    middle = np.linspace(60, 120, 61)
    true = Rotation.from_euler("XZY", np.stack([10 + 0 * middle, middle, 20 + middle / 9], axis=1), degrees=True)
    found = euler(true.as_matrix(), "XZY")
    assert np.abs(np.diff(true.as_euler("XZY", degrees=True), axis=0)).max() > 100
    around = np.abs(middle - 90) > 2  # at 90 degrees the two others are one
    assert np.abs(np.diff(found[around], axis=0)).max() < 10
    assert np.degrees((Rotation.from_euler("XZY", found, degrees=True) * true.inv()).magnitude()).max() < 1e-4


def test_whole_turns_add_up():
    turning = np.linspace(0, 720, 100)
    found = euler(Rotation.from_euler("Y", turning[:, None], degrees=True).as_matrix(), "YXZ")
    np.testing.assert_allclose(found[:, 0], turning, atol=1e-6)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_that_has_a_pose_at_rest_makes_a_file(name, tmp_path):
    rest = load_rest(name)
    turned = Rotation.from_euler("Y", np.linspace(0, 90, 8)[:, None], degrees=True).as_matrix()
    joints = np.einsum("tij,kj->tki", turned, rest.joints) * 1.8
    x, y, z = np.moveaxis(joints, -1, 0)
    motion = Motion(np.stack([x, -z, y], axis=-1), name, 25.0, frame="world", rooted=False)
    found = read_back(motion.save(tmp_path / "m.bvh"), load_skeleton(name).joints)
    np.testing.assert_allclose(found, joints, atol=2e-3)


def test_every_mirrored_joint_at_rest_is_where_the_other_is():
    rest = load_rest("h36m17")
    np.testing.assert_allclose(rest.joints[list(SKELETON.flip)] * (-1, 1, 1), rest.joints, atol=1e-12)


@pytest.mark.parametrize(
    ("motion", "said"),
    [
        (camera(frames=slice(0, 3), unit="screen"), r"metres.*found: unit screen.*motion\.scaled"),
        (Motion(np.zeros((3, 17, 3)), "h36m17", 30.0), "bones without length"),
        (Motion(np.random.default_rng(0).normal(size=(3, 31, 3)), "cmu_amc", 30.0), "no armature.*skeleton cmu_amc"),
    ],
)
def test_what_no_armature_can_be_made_of_is_refused(motion, said, tmp_path):
    with pytest.raises(MixsteError, match=said):
        motion.save(tmp_path / "m.bvh")
    assert list(tmp_path.iterdir()) == []


def test_a_unit_that_bvh_files_have_not_is_refused():
    with pytest.raises(MixsteError, match="found: feet; expected: m or cm"):
        to_bvh(camera(frames=slice(0, 3)), unit="feet")
