"""Joints of SMPL+H against a plain loop over joints and vertices, and against cases computed by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste.captures.formats.body_model import (
    BLOCK,
    BodyMotion,
    forward_kinematics,
    read_body_model,
    read_regressor,
    rotation_matrices,
)
from mixste.errors import MixsteError
from tests.unit.captures.formats.body_files import (
    H36M,
    SMPLH,
    SOFT,
    VERTICES,
    model_parts,
    regressor,
    rest,
    soft_shapes,
    write_bodies,
)


@pytest.fixture
def bodies(tmp_path):
    write_bodies(tmp_path)
    return tmp_path


def motion(frames=3, *, soft=False, seed=0, size=0.8):
    rng = np.random.default_rng(seed)
    turns = rng.normal(0, size, (frames, 52, 3))
    return BodyMotion(
        turns, rng.normal(size=(frames, 3)), rng.normal(size=16), rng.normal(size=(frames, SOFT)) if soft else None
    )


def naive(parts, moves, softs=None):
    """Vertices and joints by the definition: 4 x 4 matrices, one vertex after the other."""
    all_joints, all_vertices = [], []
    for frame in range(len(moves.turns)):
        shaped = parts["v_template"] + parts["shapedirs"] @ moves.betas
        if softs is not None:
            shaped = shaped + softs[..., :SOFT] @ moves.soft[frame]
        joints = parts["J_regressor"] @ shaped
        local = [Rotation.from_rotvec(turn).as_matrix() for turn in moves.turns[frame]]
        bent = np.concatenate([(matrix - np.eye(3)).ravel() for matrix in local[1:]])
        world = []
        for joint, parent in enumerate(SMPLH.parents):
            matrix = np.eye(4)
            matrix[:3, :3] = local[joint]
            matrix[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
            world.append(world[parent] @ matrix if parent >= 0 else matrix)
        vertices = []
        for vertex in range(VERTICES):
            at = shaped[vertex] + parts["posedirs"][vertex] @ bent
            blend = sum(
                weight * (matrix[:3, :3] @ (at - joint) + matrix[:3, 3])
                for weight, matrix, joint in zip(parts["weights"][vertex], world, joints, strict=True)
            )
            vertices.append(blend + moves.places[frame])
        all_vertices.append(vertices)
        all_joints.append([matrix[:3, 3] + moves.places[frame] for matrix in world])
    return np.array(all_joints), np.array(all_vertices)


def test_rotations_are_scipys():
    turns = np.concatenate([np.random.default_rng(0).normal(0, 3, (50, 3)), np.zeros((1, 3)), np.full((1, 3), 1e-9)])
    np.testing.assert_allclose(rotation_matrices(turns), Rotation.from_rotvec(turns).as_matrix(), atol=1e-12)


def test_at_rest_the_joints_are_the_templates(bodies):
    model = read_body_model(bodies / "smplh/male/model.npz")
    still = BodyMotion(np.zeros((2, 52, 3)), np.array([[0, 0, 0], [1, 2, 3.0]]), np.zeros(16))
    np.testing.assert_allclose(model.move(still), rest() + still.places[:, None], atol=1e-12)


def test_a_bent_elbow_by_hand():
    """The left arm lies along X; a quarter turn about Z at the elbow brings the wrist straight above it."""
    places = np.zeros((1, 52, 3))
    for distance, name in enumerate(("l_shoulder", "l_elbow", "l_wrist", "l_index1"), start=1):
        places[0, SMPLH.index(name)] = (distance, 0, 0)
    turns = np.zeros((1, 52, 3))
    turns[0, SMPLH.index("l_elbow")] = (0, 0, np.pi / 2)
    turned, found = forward_kinematics(rotation_matrices(turns), places)
    np.testing.assert_allclose(found[0, SMPLH.index("l_elbow")], (2, 0, 0), atol=1e-12)
    np.testing.assert_allclose(found[0, SMPLH.index("l_wrist")], (2, 1, 0), atol=1e-12)
    np.testing.assert_allclose(found[0, SMPLH.index("l_index1")], (2, 2, 0), atol=1e-12)
    np.testing.assert_allclose(turned[0, SMPLH.index("l_wrist")], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(turned[0, SMPLH.index("l_shoulder")], np.eye(3), atol=1e-12)


def test_the_whole_body_turns_about_its_root_and_is_then_moved(bodies):
    model = read_body_model(bodies / "smplh/male/model.npz")
    turns = np.zeros((1, 52, 3))
    turns[0, 0] = (np.pi / 2, 0, 0)
    upright = model.move(BodyMotion(turns, np.array([[5.0, 0, 1]]), np.zeros(16)))[0]
    around = rest() - rest()[0]
    expected = rest()[0] + np.stack([around[:, 0], -around[:, 2], around[:, 1]], axis=1) + (5, 0, 1)
    np.testing.assert_allclose(upright, expected, atol=1e-12)


def test_joints_are_those_of_the_plain_loop(bodies):
    moves = motion()
    found = read_body_model(bodies / "smplh/male/model.npz").move(moves)
    np.testing.assert_allclose(found, naive(model_parts(), moves)[0], atol=1e-10)


def test_regressed_joints_are_those_of_the_plain_loop(bodies):
    moves = motion()
    model = read_body_model(bodies / "smplh/male/model.npz", regressor=bodies / "regressor.npy")
    expected = np.einsum("ov,tvc->toc", regressor(), naive(model_parts(), moves)[1])
    np.testing.assert_allclose(model.move(moves), expected, atol=2e-6)
    assert np.abs(expected - naive(model_parts(), moves)[0][:, :17]).max() > 0.01


def test_soft_tissue_moves_vertices_and_with_them_the_joints(bodies):
    moves = motion(soft=True)
    path, soft = bodies / "smplh/male/model.npz", bodies / "dmpls/male/model.npz"
    found = read_body_model(path, soft=soft, regressor=bodies / "regressor.npy").move(moves)
    expected = np.einsum("ov,tvc->toc", regressor(), naive(model_parts(), moves, soft_shapes())[1])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    without = read_body_model(path, regressor=bodies / "regressor.npy").move(moves)
    assert np.abs(found - without).max() > 1e-3


def test_a_long_motion_is_the_same_in_parts(bodies):
    model = read_body_model(bodies / "smplh/male/model.npz", regressor=bodies / "regressor.npy")
    moves = motion(BLOCK + 7)
    last = BodyMotion(moves.turns[-9:], moves.places[-9:], moves.betas)
    np.testing.assert_allclose(model.move(moves)[-9:], model.move(last), atol=2e-6)
    assert model.move(moves).shape == (BLOCK + 7, 17, 3)
    assert model.move(motion(0)).shape == (0, 17, 3)


def test_betas_beyond_the_models_are_left_out(bodies):
    model = read_body_model(bodies / "smplh/male/model.npz")
    moves = motion()
    longer = BodyMotion(moves.turns, moves.places, np.append(moves.betas, [9.0, 9.0]))
    np.testing.assert_array_equal(model.move(longer), model.move(moves))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kintree_table": np.zeros((2, 24), dtype=np.int64)}, r"another body model; found: 24 joints.*SMPL\+H"),
        ({"J_regressor": np.zeros((52, 9))}, r"cannot use J_regressor of .*found: \(52, 9\); expected: \(52, 160\)"),
        ({"posedirs": np.zeros((VERTICES, 3, 207))}, r"cannot use posedirs"),
        ({"weights": None}, r"found: no weights among"),
    ],
)
def test_another_body_model_is_refused(bodies, changed, message):
    parts = {name: part for name, part in (model_parts() | changed).items() if part is not None}
    np.savez(bodies / "other.npz", **parts)
    with pytest.raises(MixsteError, match=message):
        read_body_model(bodies / "other.npz", regressor=bodies / "regressor.npy")


def test_soft_tissue_of_another_body_is_refused(bodies):
    np.savez(bodies / "soft.npz", eigvec=np.zeros((9, 3, 8)))
    with pytest.raises(MixsteError, match=r"soft.npz; found: 9 vertices; expected: 160"):
        read_body_model(bodies / "smplh/male/model.npz", soft=bodies / "soft.npz")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((17, 9)), r"found: \(17, 9\); expected: joints x 160 vertices"),
        (regressor() * 1000, r"no regressor of joints; found: weights that add up to 1000.000"),
        (np.array([{}], dtype=object), "cannot read"),
    ],
)
def test_what_is_no_regressor_is_refused(tmp_path, matrix, message):
    np.save(tmp_path / "regressor.npy", matrix)
    with pytest.raises(MixsteError, match=message):
        read_regressor(tmp_path / "regressor.npy", VERTICES)


def test_the_regressor_of_the_tests_is_one_of_h36m17():
    assert regressor().shape == (len(H36M.joints), VERTICES)
