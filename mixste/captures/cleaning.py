"""What of a trial is sound: broken frames are found, named and cut out, and long enough pieces between them stay."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixste.captures.resampling import resampled_length
from mixste.errors import counted
from mixste.skeleton import Skeleton

FASTER = "moves faster than"


@dataclass(frozen=True)
class Limits:
    """What is kept: `max_speed` m/s of a joint, `bone_tolerance` a fraction, `min_frames` at the target `fps`."""

    fps: float
    drop_frames: int = 5
    max_speed: float = 15.0
    bone_tolerance: float = 0.2
    min_frames: int = 27


@dataclass(frozen=True)
class Defect:
    """Frames of a file, counted from 0, that were taken out (`first` to `last`, both included), and why."""

    first: int
    last: int
    reason: str

    @property
    def too_fast(self) -> bool:
        """Whether a joint's speed is among the reasons."""
        return FASTER in self.reason


def clean(
    joints: np.ndarray, fps: float, skeleton: Skeleton, limits: Limits, numbers: np.ndarray | None = None
) -> tuple[list[slice], list[Defect]]:
    """Return the sound pieces of a trial (t j 3, metres) as slices, and every other range after the first frames.

    The first `drop_frames` frames are left out unseen. Where the file's frame `numbers` (t) skip, a piece ends.
    """
    start = limits.drop_frames
    joints, numbers = joints[start:], numbers if numbers is None else numbers[start:]
    reasons = _reasons(joints, fps, skeleton, limits)
    skips = set() if numbers is None else {int(at) + 1 for at in np.flatnonzero(np.diff(numbers) != 1)}
    pieces, defects = [], []
    for first, last, reason in _runs(reasons, skips):
        length = resampled_length(last - first + 1, fps, limits.fps)
        if not reason and length >= limits.min_frames:
            pieces.append(slice(start + first, start + last + 1))
        else:
            short = f"too short: {counted(length, 'frame')} at {limits.fps:g} fps, fewer than {limits.min_frames}"
            defects.append(Defect(start + first, start + last, reason or short))
    if numbers is not None:
        defects += [_skipped(start, at, numbers) for at in skips]
    return pieces, sorted(defects, key=lambda defect: (defect.first, defect.last))


def _skipped(start: int, at: int, numbers: np.ndarray) -> Defect:
    reason = f"frames missing in the file: its frame numbers go from {numbers[at - 1]} to {numbers[at]}"
    return Defect(start + at, start + at - 1, reason)


def _reasons(joints: np.ndarray, fps: float, skeleton: Skeleton, limits: Limits) -> list[str]:
    """Return for every frame why it is broken; an empty text if it is sound."""
    checks = (
        _not_numbers(joints, skeleton),
        _stretched(joints, skeleton, limits.bone_tolerance),
        _too_fast(joints, fps, skeleton, limits.max_speed),
    )
    reasons = [""] * len(joints)
    for check in checks:
        for frame, reason in check:
            reasons[frame] = reasons[frame] or reason
    return reasons


def _not_numbers(joints: np.ndarray, skeleton: Skeleton) -> Iterator[tuple[int, str]]:
    wrong = ~np.isfinite(joints).all(axis=2)
    for frame in np.flatnonzero(wrong.any(axis=1)):
        yield int(frame), f"{skeleton.joints[int(wrong[frame].argmax())]} is not a number"


def _stretched(joints: np.ndarray, skeleton: Skeleton, tolerance: float) -> Iterator[tuple[int, str]]:
    """Yield frames in which an arm's or a leg's bone is longer or shorter than its median in the trial."""
    limbs = skeleton.limbs
    if not limbs or not len(joints):
        return
    parents, children = np.array(limbs).T
    lengths = np.linalg.norm(joints[:, children] - joints[:, parents], axis=2)
    known = lengths[np.isfinite(lengths).all(axis=1)]
    middle = np.median(known, axis=0) if len(known) else np.full(len(limbs), np.nan)
    excess = np.abs(lengths - middle) / middle
    for frame in np.flatnonzero((excess > tolerance).any(axis=1)):
        parent, child = limbs[int(np.nanargmax(excess[frame]))]
        yield int(frame), f"the bone {skeleton.joints[parent]}-{skeleton.joints[child]} changes its length"


def _too_fast(joints: np.ndarray, fps: float, skeleton: Skeleton, limit: float) -> Iterator[tuple[int, str]]:
    """Yield both frames between which a joint jumps."""
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=2) * fps
    for step in np.flatnonzero((speed > limit).any(axis=1)):
        joint = int(np.nanargmax(speed[step]))
        reason = f"{skeleton.joints[joint]} {FASTER} {limit:g} m/s"
        yield int(step), reason
        yield int(step) + 1, reason


def _runs(reasons: list[str], skips: set[int]) -> Iterator[tuple[int, int, str]]:
    """Yield runs of frames that are all sound or all broken (first, last, the reasons), split at skipped numbers."""
    first = 0
    for frame in range(1, len(reasons) + 1):
        ended = frame == len(reasons) or bool(reasons[frame]) != bool(reasons[first]) or frame in skips
        if ended:
            yield first, frame - 1, "; ".join(dict.fromkeys(filter(None, reasons[first:frame])))
            first = frame
