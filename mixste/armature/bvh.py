"""A fitted motion as BVH: Y up, metres or centimetres, rotations in each joint's own order, no jump in any channel."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixste.armature.fitting import Fit, fit
from mixste.captures.formats.bvh import Bvh, write_bvh
from mixste.errors import MixsteError

if TYPE_CHECKING:
    from mixste.motion import Motion

UNITS = {"m": 1.0, "cm": 100.0}
POSITIONS = ("Xposition", "Yposition", "Zposition")
DECIMALS = 6


def write_armature(path: str | Path, motion: "Motion", *, unit: str = "m", symmetric: bool = True) -> None:
    """Write a motion as BVH; `to_bvh` says how."""
    write_bvh(path, to_bvh(motion, unit=unit, symmetric=symmetric), DECIMALS)


def to_bvh(motion: "Motion", *, unit: str = "m", symmetric: bool = True) -> Bvh:
    """Fit a motion in metres and return it as BVH in `unit`, "m" or "cm"; leaves get end sites of plausible length.

    A motion in camera axes is taken for one of a level camera. MixsteError for any other unit, a motion in screen
    units, or a skeleton without a pose at rest.
    """
    if unit not in UNITS:
        raise MixsteError("no BVH file can be written in this unit", found=unit, expected=" or ".join(UNITS))
    if motion.unit != "m":
        mend = "state the person's height: motion.scaled(1.75)"
        found = f"unit {motion.unit}"
        raise MixsteError("a BVH file needs a motion in metres", found=found, expected="unit m", mend=mend)
    fitted = fit(motion, symmetric=symmetric)
    return _assembled(fitted, UNITS[unit], motion.fps)


def euler(rotations: np.ndarray, order: str) -> np.ndarray:
    """Return angles (t 3), degrees, of rotations (t 3 3) about a joint's own axes in turn, like "ZXY", without jumps.

    Of the two ways to write each rotation it takes the one that goes on from the frame before; angles may pass 180.
    """
    from scipy.spatial.transform import Rotation

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock")
        angles = Rotation.from_matrix(rotations).as_euler(order, degrees=True)
    steps = np.abs((np.diff(angles, axis=0) + 180) % 360 - 180)
    crossed = (steps[:, 0] > 90) & (steps[:, 2] > 90)
    other = np.concatenate([[0], np.cumsum(crossed)]) % 2 == 1
    angles[other] = angles[other] * (1, -1, 1) + 180
    return np.unwrap(angles, period=360, axis=0)


def _assembled(fitted: Fit, scale: float, fps: float) -> Bvh:
    skeleton, ends = fitted.rest.skeleton, fitted.ends
    names: list[str] = []
    parents: list[int] = []
    offsets: list[np.ndarray] = []
    channels: list[tuple[str, ...]] = []
    values: list[np.ndarray] = [scale * fitted.positions[:, skeleton.root]]

    def add(joint: int, parent: int) -> None:
        place, order = len(names), fitted.rest.orders[joint]
        names.append(skeleton.joints[joint])
        parents.append(parent)
        offsets.append(scale * fitted.offsets[joint])
        channels.append(POSITIONS * (parent < 0) + tuple(f"{axis}rotation" for axis in order))
        values.append(euler(fitted.rotations[:, joint], order))
        for own, child in skeleton.bones:
            if own == joint:
                add(child, place)
        if joint in ends:
            names.append(f"{skeleton.joints[joint]}_End")
            parents.append(place)
            offsets.append(scale * ends[joint])
            channels.append(())

    add(skeleton.root, -1)
    return Bvh(
        tuple(names), tuple(parents), np.array(offsets), tuple(channels), 1 / fps, np.concatenate(values, axis=1)
    )
