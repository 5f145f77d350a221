"""Stick bodies: bone lengths from published anthropometry, and joint angles put into BVH channels.

Bone lengths are fractions of stature after Drillis and Contini (1966), as printed in Winter, Biomechanics and Motor
Control of Human Movement, figure 4.1. Breadths there are of the body's surface; they are narrowed to joint centres.
At rest a body stands with its arms down and faces +Z; Y is up, X points to its left. Lengths are centimetres.

Angles are anatomical, in degrees: flexion, abduction and outward rotation for the limbs (hip, shoulder, ...); lean
(forwards), list (towards the right) and turn (to the left) for the pelvis and the trunk.
"""

from dataclasses import dataclass

import numpy as np

from mixste.captures.formats.bvh import Bvh
from mixste.sample.chance import Chance

FPS = 60.0
Angles = dict[str, np.ndarray]

_LIMB = (("X", "flexion", -1), ("Z", "abduction", 1), ("Y", "rotation", 1))
_TRUNK = (("Z", "list", 1), ("X", "lean", 1), ("Y", "turn", 1))
_PELVIS = (("Y", "turn", 1), ("X", "lean", 1), ("Z", "list", 1))
_BENDS_BACK, _BENDS_FORTH = (("X", "flexion", 1),), (("X", "flexion", -1),)


@dataclass(frozen=True)
class Part:
    """One joint: its place relative to its parent as fractions of stature, its rotations from outermost to innermost.

    A rotation is (axis, motion, sign); on the right side the signs of Y and Z are mirrored.
    """

    name: str
    parent: str | None
    offset: tuple[float, float, float]
    rotations: tuple[tuple[str, str, int], ...] = ()


def _leg(side: str, x: float) -> list[Part]:
    return [
        Part(f"{side}_hip", "hip", (x * 0.057, 0.0, 0.0), _LIMB),
        Part(f"{side}_knee", f"{side}_hip", (0.0, -0.245, 0.0), _BENDS_BACK),
        Part(f"{side}_ankle", f"{side}_knee", (0.0, -0.246, 0.0), _BENDS_FORTH),
        Part(f"{side}_ankle_End", f"{side}_ankle", (0.0, -0.039, 0.1)),
    ]


def _arm(side: str, x: float) -> list[Part]:
    return [
        Part(f"{side}_shoulder", "thorax", (x * 0.1, -0.01, 0.0), _LIMB),
        Part(f"{side}_elbow", f"{side}_shoulder", (0.0, -0.186, 0.0), _BENDS_FORTH),
        Part(f"{side}_wrist", f"{side}_elbow", (0.0, -0.146, 0.0), _BENDS_FORTH),
        Part(f"{side}_wrist_End", f"{side}_wrist", (0.0, -0.108, 0.0)),
    ]


PARTS = (
    Part("hip", None, (0.0, 0.53, 0.0), _PELVIS),
    *_leg("r", -1),
    *_leg("l", 1),
    Part("spine", "hip", (0.0, 0.135, -0.01), _TRUNK),
    Part("thorax", "spine", (0.0, 0.155, 0.0), _TRUNK),
    Part("neck", "thorax", (0.0, 0.07, 0.02), _TRUNK),
    Part("head", "neck", (0.0, 0.085, -0.005), (("X", "lean", 1),)),
    Part("head_End", "head", (0.0, 0.03, 0.0)),
    *_arm("l", 1),
    *_arm("r", -1),
)
NAMES = tuple(part.name for part in PARTS)
PARENTS = tuple(NAMES.index(part.parent) if part.parent else -1 for part in PARTS)


@dataclass(frozen=True)
class Body:
    """One person: stature in centimetres and the offsets (k 3) of `PARTS`, in centimetres."""

    stature: float
    offsets: np.ndarray

    @property
    def ankle_height(self) -> float:
        """Height of the ankle above the sole, centimetres."""
        return -float(self.offsets[NAMES.index("r_ankle_End"), 1])


def make_body(chance: Chance) -> Body:
    """Draw a stature from 152 to 192 cm and vary each bone by up to 4 %, left and right alike."""
    stature = chance.between(152.0, 192.0)
    variation = {name: chance.between(0.96, 1.04) for name in dict.fromkeys(_unsided(name) for name in NAMES)}
    offsets = np.array([np.array(part.offset) * variation[_unsided(part.name)] for part in PARTS])
    return Body(stature, np.round(offsets * stature, 4))


def pose(body: Body, angles: Angles, root: np.ndarray) -> Bvh:
    """Put joint angles (each (t,), degrees; absent ones are zero) and the hip's path (t 3, cm) into BVH channels."""
    still = np.zeros(len(root))
    columns = list(root.T)
    for part in PARTS:
        for axis, motion, sign in part.rotations:
            mirrored = -sign if part.name.startswith("r_") and axis != "X" else sign
            columns.append(mirrored * angles.get(f"{part.name}.{motion}", still))
    values = np.round(np.stack(columns, axis=1), 4) + 0.0
    return Bvh(NAMES, PARENTS, body.offsets, tuple(map(_channels, PARTS)), 1.0 / FPS, values)


def _channels(part: Part) -> tuple[str, ...]:
    positions = ("Xposition", "Yposition", "Zposition") if part.parent is None else ()
    return positions + tuple(f"{axis}rotation" for axis, _, _ in part.rotations)


def _unsided(name: str) -> str:
    return name[2:] if name.startswith(("l_", "r_")) else name
