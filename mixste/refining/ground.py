"""Feet on a floor: when each stands, where the floor is, where a rooted motion goes, and legs that reach their places.

An ankle is 0.039 of a person's stature above its sole (Drillis and Contini 1966), which is what the floor is put below
the standing ankles by. A foot stands while it is near the floor and slow; both thresholds are fractions of the leg's
length, so that they hold for any unit. All positions are (t ... 3), Z up.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixste.errors import MixsteError, counted
from mixste.refining.legs import reach
from mixste.refining.way import LOWEST, way
from mixste.skeleton import Skeleton, load_skeleton

if TYPE_CHECKING:
    from mixste.motion import Motion

ANKLE = 0.039 / 0.491  # height of the ankle above the floor by the length from hip to ankle
NEAR, SLOW = (
    0.04,
    0.5,
)  # a standing ankle's height above its lowest, in leg lengths, and its speed, leg lengths a second
SLIDES = 0.05  # of an ankle's height, some 4 mm: what is called sliding
SHORTEST, EASE = 0.1, 0.15  # seconds: of a step's stance, and over which a foot is let go


@dataclass(frozen=True)
class _Legs:
    """Hip, knee and ankle indices of left and right (2 3), and all joints that move with each ankle."""

    chain: np.ndarray
    feet: tuple[list[int], list[int]]


def ground(motion: "Motion") -> tuple[np.ndarray, tuple[str, ...]]:
    """Return absolute joints (t j 3) of a motion with Z up whose standing feet are still, and what was done."""
    if motion.frame != "world":
        mend = "turn it upright first: motion.z_up()"
        found = f"frame {motion.frame}"
        raise MixsteError("cannot put this motion on a floor", found=found, expected="frame world, Z up", mend=mend)
    skeleton = load_skeleton(motion.skeleton)
    legs = _legs(skeleton)
    joints = motion.joints.astype(np.float64)
    length = _length(joints, legs)
    if not length > 0:
        raise MixsteError("cannot put this motion on a floor", found="legs without length", expected="a person")
    said = []
    if motion.rooted:
        joints = joints + way(joints[:, legs.chain[:, 2]], motion.fps, length)[:, None]
        said.append("The root's way and height were guessed from the standing feet.")
    joints, standing = _on_floor(joints, legs, motion.fps, length)
    held, short = _held(joints, standing, legs, ANKLE * length, motion.fps)
    share = 100 * standing.any(axis=1).mean()
    said.append(f"The floor was put at Z = 0; a foot stands in {share:.0f} % of the frames and was held in its place.")
    if short:
        said.append(f"In {counted(short, 'frame')} a leg was too short for its foot's place and the foot slides.")
    return held, tuple(said)


def contacts(ankles: np.ndarray, fps: float, length: float) -> np.ndarray:
    """Say when ankles (t 2 3) stand (t 2): near Z = 0, where they stand lowest, and slow, for SHORTEST or longer.

    `length` is that of a leg, in the unit of the ankles.
    """
    if len(ankles) < 2:
        return ankles[..., 2] < NEAR * length
    speed = np.linalg.norm(np.gradient(ankles, 1 / fps, axis=0), axis=-1)
    return _lasting((ankles[..., 2] < NEAR * length) & (speed < SLOW * length), fps)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return where a mask (t,) is true: (first, end) of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _legs(skeleton: Skeleton) -> _Legs:
    chain = np.array([[skeleton.index(f"{side}_{part}") for part in ("hip", "knee", "ankle")] for side in "lr"])
    feet: tuple[list[int], list[int]] = ([], [])
    for ankle, foot in zip(chain[:, 2], feet, strict=True):
        for joint in range(len(skeleton.joints)):
            above = joint
            while above not in (-1, ankle):
                above = skeleton.parents[above]
            if above == ankle:
                foot.append(joint)
    return _Legs(chain, feet)


def _length(joints: np.ndarray, legs: _Legs) -> float:
    bones = np.linalg.norm(np.diff(joints[:, legs.chain], axis=2), axis=-1)
    return float(np.median(bones, axis=0).sum(axis=-1).mean())


def _lasting(mask: np.ndarray, fps: float) -> np.ndarray:
    """Close gaps shorter than SHORTEST seconds in masks (t n), then drop what is shorter than that."""
    lasting = mask.copy()
    shortest = max(1, round(SHORTEST * fps))
    for column in lasting.T:
        for start, stop in runs(~column):
            column[start:stop] = start > 0 and stop < len(column) and stop - start < shortest
        for start, stop in runs(column):
            column[start:stop] = stop - start >= min(shortest, len(column))
    return lasting


def _on_floor(joints: np.ndarray, legs: _Legs, fps: float, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Return joints (t j 3) with the middle height of standing ankles where it belongs, and when they stand (t 2)."""
    ankles = joints[:, legs.chain[:, 2]]
    floor = np.percentile(ankles[..., 2].min(axis=1), LOWEST)
    standing = contacts(ankles - (0.0, 0.0, floor), fps, length)
    if standing.any():
        floor = float(np.median(ankles[..., 2][standing]))
    return joints - (0.0, 0.0, floor - ANKLE * length), standing


def _held(joints: np.ndarray, standing: np.ndarray, legs: _Legs, height: float, fps: float) -> tuple[np.ndarray, int]:
    """Return joints (t j 3) with each standing ankle in its place, and in how many frames one is out of reach."""
    held, short = joints.copy(), np.zeros(len(joints), dtype=bool)
    for (hip, knee, ankle), foot, stands in zip(legs.chain, legs.feet, standing.T, strict=True):
        wanted = joints[:, ankle] + _shift(joints[:, ankle], stands, height, fps)
        knees, ankles = reach(joints[:, hip], joints[:, knee], joints[:, ankle], wanted)
        held[:, knee] = knees
        held[:, foot] += (ankles - joints[:, ankle])[:, None]
        short |= stands & (np.linalg.norm(ankles - wanted, axis=-1) > SLIDES * height)
    return held, int(short.sum())


def _shift(ankle: np.ndarray, stands: np.ndarray, height: float, fps: float) -> np.ndarray:
    """Return how far (t 3) to move one ankle: in a stance to its mean place, around it less and less, never below."""
    shift = np.zeros_like(ankle)
    for start, stop in runs(stands):
        place = np.maximum(ankle[start:stop].mean(axis=0), (-np.inf, -np.inf, height))
        shift[start:stop] = place - ankle[start:stop]
    frames = np.arange(len(ankle))
    for start, stop in runs(~stands):
        inside = frames[start:stop]
        before = shift[start - 1] if start else np.zeros(3)
        after = shift[stop] if stop < len(ankle) else np.zeros(3)
        near = min(max(1.0, EASE * fps), stop - start + 1)
        fades = (_ease((inside - start + 1) / near), _ease((stop - inside) / near))
        shift[start:stop] = fades[0][:, None] * before + fades[1][:, None] * after
        shift[start:stop, 2] = np.maximum(shift[start:stop, 2], height - ankle[start:stop, 2])
    return shift


def _ease(after: np.ndarray) -> np.ndarray:
    """Fall smoothly from 1 to 0 while `after` goes from 0 to 1."""
    rest = 1.0 - np.clip(after, 0.0, 1.0)
    return rest * rest * (3.0 - 2.0 * rest)
