"""What of a motion shows whether its source's unit is right: how long legs are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixste.skeleton import Skeleton

# Metres from hip over knee to ankle, which is 0.45 to 0.49 of the stature. Below 0.4 are children under three, who are
# not captured with markers; 1.35 has the tallest man there was. Adults of 1.3 m and 2.4 m have 0.6 and 1.15.
LEGS = (0.4, 1.35)
ADULT_LEGS = (0.6, 1.15)
MIDDLE_LEGS = 0.84


@dataclass(frozen=True)
class Figure:
    """What was measured of a file: `legs` metres."""

    legs: float | None = None


def measure(joints: np.ndarray, skeleton: Skeleton) -> Figure:
    """Return the figure of joints (t j 3), metres; a skeleton without hips, knees or ankles shows nothing."""
    return Figure(_legs(joints, skeleton))


def legs_of(figures: Sequence[Figure]) -> float | None:
    """Return the median of the legs of one person's files, metres."""
    legs = [figure.legs for figure in figures if figure.legs is not None]
    return float(np.median(legs)) if legs else None


def _legs(joints: np.ndarray, skeleton: Skeleton) -> float | None:
    """Return the median over frames of the mean length of both legs."""
    places = [_pair(joints, skeleton, name) for name in ("hip", "knee", "ankle")]
    if not all(place.shape[1] for place in places):
        return None
    lengths = np.linalg.norm(np.diff(places, axis=0), axis=3).sum(axis=0).mean(axis=1)
    known = lengths[np.isfinite(lengths)]
    return float(np.median(known)) if len(known) else None


def _pair(joints: np.ndarray, skeleton: Skeleton, name: str) -> np.ndarray:
    """Return the left and the right one (t 2 3), or (t 0 3) if the skeleton lacks one."""
    names = (f"l_{name}", f"r_{name}")
    there = set(names) <= set(skeleton.joints)
    return joints[:, [skeleton.index(side) for side in names] if there else []]
