"""A skeleton of constant bones, and the rotations that bring it nearest to a motion's joints."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixste.armature.rest import Rest, load_rest
from mixste.armature.turning import aim, best_fit, unit
from mixste.errors import MixsteError

if TYPE_CHECKING:
    from mixste.motion import Motion

# Axes of a motion's frame into those of BVH files: Y up; who faces the camera faces +Z.
Y_UP = {
    "camera": np.diag([1.0, -1.0, -1.0]),
    "world": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}
ROUNDS = 10
SHORTEST = 1e-6


@dataclass(frozen=True)
class Fit:
    """Constant offsets (j 3) from each joint's parent at rest, rotations (t j 3 3) relative to it, positions (t j 3).

    Axes are those of BVH files, Y up; lengths are in the motion's unit; the root's positions are the motion's.
    """

    rest: Rest
    offsets: np.ndarray
    rotations: np.ndarray
    positions: np.ndarray

    @property
    def ends(self) -> dict[int, np.ndarray]:
        """The ends (3,) of leaves, relative to them, of a person of this size."""
        sizes = [float(np.linalg.norm(offsets, axis=-1).sum()) for offsets in (self.offsets, self.rest.offsets)]
        return {leaf: end * sizes[0] / sizes[1] for leaf, end in self.rest.ends.items()}


def fit(motion: "Motion", *, symmetric: bool = True) -> Fit:
    """Fit bones of constant length, the median over the frames; left and right are the same if `symmetric`.

    MixsteError for a skeleton that has no pose at rest, and for a bone without length.
    """
    rest = load_rest(motion.skeleton)
    joints = motion.joints.astype(np.float64) @ Y_UP[motion.frame].T
    offsets = _offsets(joints, rest, symmetric=symmetric)
    rotations, positions = _aimed(joints, offsets, rest, motion.fps)
    return Fit(rest, offsets, rotations, positions)


def fit_bones(motion: "Motion", *, symmetric: bool = True) -> tuple[np.ndarray, str]:
    """Return a motion's joints (t j 3) with constant bones, in its frame and unit, and how far they moved."""
    joints = fit(motion, symmetric=symmetric).positions @ Y_UP[motion.frame]
    moved = np.linalg.norm(joints - motion.joints, axis=-1)
    factor, unit_name = (1000, "mm") if motion.unit == "m" else (1, motion.unit + " units")
    size = f"{factor * moved.mean():.3g} {unit_name} on average, {factor * moved.max():.3g} at most"
    return joints, f"Every bone was given one length; that moved the joints by {size}."


def _offsets(joints: np.ndarray, rest: Rest, *, symmetric: bool) -> np.ndarray:
    """Return each joint's place relative to its parent at rest (j 3), as long as the bones of `joints` (t j 3) are."""
    skeleton = rest.skeleton
    bones = joints - joints[:, [joint if parent < 0 else parent for joint, parent in enumerate(skeleton.parents)]]
    lengths = np.median(np.linalg.norm(bones, axis=-1), axis=0)
    if symmetric:
        lengths = (lengths + lengths[list(skeleton.flip)]) / 2
    short = [skeleton.joints[child] for _, child in skeleton.bones if lengths[child] < SHORTEST]
    if short:
        found = f"bones without length: {', '.join(short)}"
        raise MixsteError("no armature can be made of this motion", found=found, expected="a person")
    offsets = unit(rest.offsets) * lengths[:, None]
    for children in _children(rest).values():
        if len(children) > 1:
            offsets[children] = _shape(bones[:, children], offsets[children])
    if symmetric:
        offsets = (offsets + offsets[list(skeleton.flip)] * (-1, 1, 1)) / 2
    return unit(offsets) * lengths[:, None]


def _shape(bones: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the mean shape (k 3) of bones (t k 3) that turn together, turned back to `start` (k 3)."""
    shape = start
    for _ in range(ROUNDS):
        shape = np.einsum("tij,tki->kj", best_fit(shape, bones), bones) / len(bones)
    return shape @ best_fit(start, shape[None])[0]


def _aimed(joints: np.ndarray, offsets: np.ndarray, rest: Rest, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rotations relative to the parent (t j 3 3) and positions (t j 3), from the root outwards."""
    skeleton, children = rest.skeleton, _children(rest)
    positions, world = joints.copy(), np.zeros((*joints.shape, 3))
    rotations = np.broadcast_to(np.eye(3), world.shape).copy()
    waiting = [skeleton.root]
    while waiting:
        joint = waiting.pop()
        parent, own = skeleton.parents[joint], children[joint]
        above = np.broadcast_to(np.eye(3), (len(joints), 3, 3)) if parent < 0 else world[:, parent]
        if own:
            seen = np.einsum("tij,tki->tkj", above, joints[:, own] - positions[:, [joint]])
            if len(own) > 1:
                rotations[:, joint] = best_fit(offsets[own], seen)
            else:
                hinge = _hinge(joints, own[0], children, rest, above)
                rotations[:, joint] = aim(unit(offsets[own[0]]), unit(seen[:, 0]), fps, **hinge)
        world[:, joint] = above @ rotations[:, joint]
        for child in own:
            positions[:, child] = positions[:, joint] + world[:, joint] @ offsets[child]
        waiting += own
    return rotations, positions


def _hinge(
    joints: np.ndarray, joint: int, children: dict[int, list[int]], rest: Rest, above: np.ndarray
) -> dict[str, np.ndarray]:
    """Return a hinge's axis at rest (3,) and what it turns about (t 3), seen from `above`; nothing if it is none."""
    if joint not in rest.hinges or len(children[joint]) != 1:
        return {}
    upper = unit(joints[:, joint] - joints[:, rest.skeleton.parents[joint]])
    lower = unit(joints[:, children[joint][0]] - joints[:, joint])
    return {"axis": rest.hinges[joint], "bends": np.einsum("tij,ti->tj", above, np.cross(upper, lower))}


def _children(rest: Rest) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {joint: [] for joint in range(len(rest.joints))}
    for parent, child in rest.skeleton.bones:
        children[parent].append(child)
    return children
