"""What of a motion shows whether its source's unit and axes are right: how long legs are, and where trunks point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixste.legs import leg_length
from mixste.skeleton import Skeleton

AXES = ("x", "y", "z", "-x", "-y", "-z")
# Metres from hip over knee to ankle, which is 0.45 to 0.49 of the stature. Below 0.4 are children under three, who are
# not captured with markers; 1.35 has the tallest man there was. Adults of 1.3 m and 2.4 m have 0.6 and 1.15.
LEGS = (0.4, 1.35)
ADULT_LEGS = (0.6, 1.15)
MIDDLE_LEGS = 0.84


@dataclass(frozen=True)
class Figure:
    """What was measured of a file: `legs` metres, and in how many frames the trunk points along each of AXES."""

    legs: float | None = None
    trunk: tuple[int, ...] = (0,) * len(AXES)


def measure(joints: np.ndarray, skeleton: Skeleton, turn: np.ndarray) -> Figure:
    """Return the figure of joints (t j 3), metres; AXES are the file's, of which `turn` (3 3) makes the joints' axes.

    A skeleton without hips and knees, ankles or shoulders shows nothing.
    """
    return Figure(leg_length(joints, skeleton), _trunk(joints, skeleton, turn))


def legs_of(figures: Sequence[Figure]) -> float | None:
    """Return the median of the legs of one person's files, metres."""
    legs = [figure.legs for figure in figures if figure.legs is not None]
    return float(np.median(legs)) if legs else None


def trunk_of(figures: Sequence[Figure]) -> dict[str, float]:
    """Return in what share of all frames the trunk points along which of AXES, the most frequent first; none: {}."""
    counts = np.sum([figure.trunk for figure in figures], axis=0)
    order = np.argsort(-counts, kind="stable")
    return {AXES[axis]: float(counts[axis] / counts.sum()) for axis in order} if counts.any() else {}


def _trunk(joints: np.ndarray, skeleton: Skeleton, turn: np.ndarray) -> tuple[int, ...]:
    hips, shoulders = (_pair(joints, skeleton, name) for name in ("hip", "shoulder"))
    if not (hips.shape[1] and shoulders.shape[1]):
        return (0,) * len(AXES)
    trunk = (shoulders.mean(axis=1) - hips.mean(axis=1)) @ turn
    trunk = trunk[np.isfinite(trunk).all(axis=1)]
    axis = np.abs(trunk).argmax(axis=1)
    backwards = trunk[np.arange(len(trunk)), axis] < 0
    return tuple(np.bincount(axis + 3 * backwards, minlength=len(AXES)).tolist())


def _pair(joints: np.ndarray, skeleton: Skeleton, name: str) -> np.ndarray:
    """Return the left and the right one (t 2 3), or (t 0 3) if the skeleton lacks one."""
    names = (f"l_{name}", f"r_{name}")
    there = set(names) <= set(skeleton.joints)
    return joints[:, [skeleton.index(side) for side in names] if there else []]
