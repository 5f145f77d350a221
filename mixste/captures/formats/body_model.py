"""SMPL+H from the user's own body model file: its joints, or joints regressed from its skinned vertices.

With R_k and p_k the turned frame and the place of joint k, and J_k its place at rest, a vertex is

    sum_k w_vk (R_k (x_v - J_k) + p_k),    x_v = template_v + shapes_v betas + pose_shapes_v (R_local - 1)

and a regressed joint is a weighted sum of vertices. Both sums are exchanged: what depends on vertices is summed once
a model, for every pair of a regressed joint and a bone that moves it, so that no vertex of any frame is ever computed.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixste.errors import MixsteError
from mixste.files.restricted import read_npz
from mixste.skeleton import load_skeleton

SKELETON = load_skeleton("smplh52")
BLOCK = 512  # frames at a time, so that what is computed on stays small
LIGHT = 1e-6  # a bone that weighs less on a regressed joint is left out: a thousandth of a millimetre a metre
_KEYS = ("v_template", "shapedirs", "J_regressor", "kintree_table")
_SKIN_KEYS = ("weights", "posedirs")


@dataclass(frozen=True)
class BodyMotion:
    """What moves a body: axis-angle `turns` (t 52 3) of its joints, `places` (t 3) of the whole; radians and metres.

    `betas` (s) are the coefficients of its shape, `soft` (t d) those of soft tissue (DMPL), None if they are left out.
    """

    turns: np.ndarray
    places: np.ndarray
    betas: np.ndarray
    soft: np.ndarray | None = None


@dataclass(frozen=True)
class Points:
    """Points at rest (p 3), and how they depend on the body's betas (p 3 s) and on soft tissue (p 3 d)."""

    template: np.ndarray
    shapes: np.ndarray
    soft: np.ndarray

    def at_rest(self, motion: BodyMotion) -> np.ndarray:
        """Return the points (t p 3) before the pose moves them; (1 p 3) where no tissue moves."""
        betas = motion.betas[: self.shapes.shape[2]]
        still = (self.template + self.shapes[..., : len(betas)] @ betas)[None]
        if motion.soft is None or not self.soft.shape[2]:
            return still
        soft = motion.soft[:, : self.soft.shape[2]]
        return still + np.einsum("pcd,td->tpc", self.soft[..., : soft.shape[1]], soft)

    def weighed(self, weights: np.ndarray) -> "Points":
        """Return weighted sums (q p) of the points."""
        parts = (self.template, self.shapes, self.soft)
        return Points(*(np.tensordot(weights, part, axes=1) for part in parts))


@dataclass(frozen=True)
class Skin:
    """What regression needs of the vertices, summed for every pair (p) of a regressed joint and a bone that moves it.

    `starts` (o): each joint's first pair; `bones` (p); `weights` (p) of the bone; `points` weighted; `poses` (p*3 459).
    """

    starts: np.ndarray
    bones: np.ndarray
    weights: np.ndarray
    points: Points
    poses: np.ndarray


@dataclass(frozen=True)
class BodyModel:
    """A body: its joints at rest and, where a regressor is given, its skin."""

    joints: Points
    skin: Skin | None

    def move(self, motion: BodyMotion) -> np.ndarray:
        """Return the joints (t 52 3), or the regressed ones (t o 3), metres, in the motion's axes."""
        frames = len(motion.turns)
        moved = [self._moved(_part(motion, slice(start, start + BLOCK))) for start in range(0, max(frames, 1), BLOCK)]
        return np.concatenate(moved)

    def _moved(self, motion: BodyMotion) -> np.ndarray:
        local = rotation_matrices(motion.turns)
        rest = self.joints.at_rest(motion)
        turned, places = forward_kinematics(local, rest)
        if self.skin is not None:
            places = _skinned(self.skin, motion, local, rest, turned, places)
        return places + motion.places[:, None]


def rotation_matrices(turns: np.ndarray) -> np.ndarray:
    """Return the matrices (... 3 3) of axis-angle rotations (... 3), radians, by Rodrigues' formula."""
    angle = np.linalg.norm(turns, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(turns, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*turns.shape, 3)
    bend = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2  # (1 - cos a) / a^2
    return np.eye(3) + np.sinc(angle / np.pi) * cross + bend * (cross @ cross)


def forward_kinematics(local: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return turned frames (t 52 3 3) and places (t 52 3) from rotations in the parent's frame and places at rest."""
    turned, places = np.empty_like(local), np.empty(local.shape[:-1])
    for joint, parent in enumerate(SKELETON.parents):
        if parent < 0:
            turned[:, joint], places[:, joint] = local[:, joint], rest[:, joint]
            continue
        turned[:, joint] = turned[:, parent] @ local[:, joint]
        bone = rest[:, joint] - rest[:, parent]
        places[:, joint] = places[:, parent] + (turned[:, parent] @ bone[..., None])[..., 0]
    return turned, places


def _skinned(
    skin: Skin, motion: BodyMotion, local: np.ndarray, rest: np.ndarray, turned: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Return the regressed joints (t o 3) before the whole is moved."""
    bent = (local[:, 1:] - np.eye(3)).reshape(len(local), skin.poses.shape[1]).astype(np.float32)
    points = skin.points.at_rest(motion) + (bent @ skin.poses.T).reshape(len(local), len(skin.bones), 3)
    weights, bones = skin.weights[:, None], skin.bones
    from_joint = points - weights * rest[:, bones]
    moved = (turned[:, bones] @ from_joint[..., None])[..., 0] + weights * places[:, bones]
    return np.add.reduceat(moved, skin.starts, axis=1)


def _part(motion: BodyMotion, frames: slice) -> BodyMotion:
    soft = None if motion.soft is None else motion.soft[frames]
    return BodyMotion(motion.turns[frames], motion.places[frames], motion.betas, soft)


def read_body_model(path: Path, *, soft: Path | None = None, regressor: Path | None = None) -> BodyModel:
    """Read an SMPL+H npz as it is distributed, its DMPL shapes and a regressor (o v) .npy where they are given.

    MixsteError if a file is damaged, lacks a part, or is of another body model.
    """
    parts = read_npz(path, _KEYS + (_SKIN_KEYS if regressor else ()))
    template = np.asarray(parts["v_template"], dtype=np.float64)
    softs = read_npz(soft, ["eigvec"])["eigvec"] if soft else np.empty((*template.shape, 0))
    vertices = Points(template, parts["shapedirs"], softs)
    _check_parts(path, parts, len(template))
    if len(softs) != len(template):
        raise MixsteError(f"cannot use {soft}", found=f"{len(softs)} vertices", expected=f"{len(template)}, as {path}")
    joints = vertices.weighed(np.asarray(parts["J_regressor"], dtype=np.float64))
    skin = None
    if regressor:
        matrix = read_regressor(regressor, len(template))
        skin = fold(matrix, parts["weights"], vertices, parts["posedirs"])
    return BodyModel(joints, skin)


def _check_parts(path: Path, parts: dict[str, np.ndarray], vertices: int) -> None:
    bones = len(SKELETON.joints)
    parents = tuple(int(parent) for parent in np.atleast_2d(parts["kintree_table"])[0].astype(np.int32))
    if parents[:1] + SKELETON.parents[1:] != parents:
        found, expected = f"{len(parents)} joints, or others", f"the {bones} of SMPL+H in their tree"
        mend = "SMPL has no hands and SMPL-X a face: use the extended SMPL+H model of AMASS"
        raise MixsteError(f"{path} is another body model", found=found, expected=expected, mend=mend)
    shapes: dict[str, tuple[int, ...]] = {"J_regressor": (bones, vertices), "weights": (vertices, bones)}
    shapes |= {"v_template": (vertices, 3), "shapedirs": (vertices, 3, parts["shapedirs"].shape[-1])}
    shapes |= {"posedirs": (vertices, 3, 9 * (bones - 1))}
    for name, part in parts.items():
        if name in shapes and part.shape != shapes[name]:
            raise MixsteError(f"cannot use {name} of {path}", found=part.shape, expected=shapes[name])


def read_regressor(path: Path, vertices: int) -> np.ndarray:
    """Return a regressor (o v) from vertices to joints; MixsteError if it is none for so many vertices."""
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MixsteError(f"cannot read {path}", found=error, expected="a .npy file of one array") from error
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.shape[1] != vertices:
        found = getattr(matrix, "shape", type(matrix).__name__)
        raise MixsteError(f"cannot use {path}", found=found, expected=f"joints x {vertices} vertices")
    sums = matrix.sum(axis=1)
    if not np.allclose(sums, 1, atol=0.01):
        found, expected = f"weights that add up to {sums.min():.3f} to {sums.max():.3f}", "1 for every joint"
        raise MixsteError(f"{path} is no regressor of joints", found=found, expected=expected)
    return matrix.astype(np.float64)


def fold(regressor: np.ndarray, weights: np.ndarray, vertices: Points, poses: np.ndarray) -> Skin:
    """Sum over the vertices: regressor (o v), skinning weights (v k), vertices at rest, pose shapes (v 3 459)."""
    used = np.flatnonzero((regressor != 0).any(axis=0))
    joint_bone = np.einsum("ov,vk->okv", regressor[:, used], weights[used])
    keep = np.abs(joint_bone).sum(axis=2) > LIGHT
    joints, bones = np.nonzero(keep)
    pairs = joint_bone[keep]
    points = Points(vertices.template[used], vertices.shapes[used], vertices.soft[used]).weighed(pairs)
    bent = np.tensordot(pairs, poses[used], axes=1).reshape(3 * len(pairs), -1).astype(np.float32)
    starts = np.searchsorted(joints, np.arange(len(regressor)))
    return Skin(starts, bones, pairs.sum(axis=1), points, bent)
