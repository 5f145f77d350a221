"""Legs that reach given feet: the hip's three angles, the knee and the ankle, exactly and in closed form.

The leg lies in one plane, because knee and ankle are hinges with the same axis; the foot lies in it too. Hip, ankle
and ball of the foot therefore fix the plane, the law of cosines fixes the knee, and what is left is the hip's rotation.
"""

from dataclasses import dataclass

import numpy as np

from mixste.captures.formats.chains import carry, turn, upright
from mixste.sample.body import NAMES, Angles, Body

_STRAIGHT = 0.9996


@dataclass(frozen=True)
class Plane:
    """Unit vectors (3 t) of a leg's plane: the hinges' axis and the directions hip to ankle and ankle to ball."""

    axis: np.ndarray
    leg: np.ndarray
    foot: np.ndarray


def reach(body: Body, angles: Angles, root: np.ndarray, side: str, ankle: np.ndarray, ball: np.ndarray) -> Angles:
    """Return the angles of the leg of `side` that puts its ankle and ball (t 3) there; the pelvis stays.

    An ankle out of reach is approached as far as the straight leg goes.
    """
    pelvis = _pelvis(angles, len(root))
    hip = root.T + carry(pelvis, body.offsets[NAMES.index(f"{side}_hip")])
    plane = _plane(hip, ankle.T, ball.T)
    thigh, shank = (np.linalg.norm(body.offsets[NAMES.index(f"{side}_{name}")]) for name in ("knee", "ankle"))
    distance = np.minimum(np.linalg.norm(ankle.T - hip, axis=0), _STRAIGHT * (thigh + shank))
    inner = np.arccos((thigh**2 + shank**2 - distance**2) / (2 * thigh * shank))
    ahead = np.arccos((thigh**2 + distance**2 - shank**2) / (2 * thigh * distance))
    upper = _about(plane, plane.leg, ahead)
    lower = _about(plane, upper, inner - np.pi)
    mirror = 1.0 if side == "l" else -1.0
    bend, aside, twist = _hip(pelvis, plane.axis, upper)
    toe = np.arctan2(
        -body.offsets[NAMES.index(f"{side}_ankle_End"), 1], body.offsets[NAMES.index(f"{side}_ankle_End"), 2]
    )
    return {
        f"{side}_hip.flexion": -np.degrees(bend),
        f"{side}_hip.abduction": mirror * np.degrees(aside),
        f"{side}_hip.rotation": mirror * np.degrees(twist),
        f"{side}_knee.flexion": 180.0 - np.degrees(inner),
        f"{side}_ankle.flexion": np.degrees(toe + _angle(plane, lower, plane.foot)) - 90.0,
    }


def _pelvis(angles: Angles, frames: int) -> np.ndarray:
    frame = upright(frames)
    for axis, motion in (("Y", "turn"), ("X", "lean"), ("Z", "list")):
        frame = turn(frame, axis, angles.get(f"hip.{motion}", np.zeros(frames)))
    return frame


def _plane(hip: np.ndarray, ankle: np.ndarray, ball: np.ndarray) -> Plane:
    leg, foot = _unit(ankle - hip), _unit(ball - ankle)
    return Plane(_unit(np.cross(foot, leg, axis=0)), leg, foot)


def _about(plane: Plane, vector: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Swing a vector (3 t) of the plane forwards by an angle (t,), radians."""
    ahead = np.cross(vector, plane.axis, axis=0)
    return np.asarray(np.cos(forward) * vector + np.sin(forward) * ahead)


def _angle(plane: Plane, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the angle (t,) by which `end` lies forward of `start`, radians."""
    ahead = np.cross(start, plane.axis, axis=0)
    return np.asarray(np.arctan2((end * ahead).sum(axis=0), (end * start).sum(axis=0)))


def _hip(pelvis: np.ndarray, axis: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rotations about X, Z and Y, in this order, radians, from the pelvis to the thigh's axes."""
    across = np.einsum("act,ct->at", pelvis, axis)
    up = np.einsum("act,ct->at", pelvis, -upper)
    along = np.cross(across, up, axis=0)
    return np.arctan2(up[2], up[1]), -np.arcsin(np.clip(up[0], -1, 1)), np.arctan2(along[0], across[0])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=0, keepdims=True))
