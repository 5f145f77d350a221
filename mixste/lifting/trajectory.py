"""Where the root was: from root-relative joints, their pixels and a pinhole camera, and how tall a person is.

With X, Y, Z a joint relative to the root and T the root's place, the pixel u = fx (X + Tx) / (Z + Tz) + cx says
Tx - u' Tz = u' Z - X, where u' = (u - cx) / fx; likewise v and Y. Every frame is a linear least-squares problem in T,
each joint weighing as its confidence; weighed anew by the depths found, it minimises the error in pixels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixste.errors import MixsteError
from mixste.legs import leg_length
from mixste.refining.smoothing import low_pass
from mixste.skeleton import Skeleton

if TYPE_CHECKING:
    from mixste.motion import Motion

ROUNDS = 5
FARTHEST = 200.0  # metres: a person is a few pixels there
SEEN = 2  # joints at least: a place has three unknowns, each joint says two
LEGS = 0.491  # of stature, from hip to ankle: Drillis and Contini (1966)


def locate(
    motion: "Motion", keypoints: np.ndarray, intrinsics: Sequence[float], *, smooth_hz: float | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a rooted motion's absolute joints (t j 3), camera axes, metres, and sentences that say how sure they are.

    `keypoints` (t j 2|3) are pixels x, y and a confidence, 0: missing (without one, all are sure); `intrinsics` are
    fx, fy, cx, cy in pixels, of a lens without distortion. Frames that no place fits are filled from their neighbours.
    The path is smoothed if `smooth_hz` says so. MixsteError if something does not fit, or no frame has a place.
    """
    pixels, confidence = _checked(motion, keypoints)
    focal, centre = _camera(intrinsics)
    joints = motion.joints.astype(np.float64)
    path = solve(joints, (pixels - centre) / focal, confidence, focal)
    known = np.isfinite(path[:, 0])
    distance = float(np.median(path[known, 2])) if known.any() else 0.0
    if not 0 < distance < FARTHEST:
        none = f"no frame of {len(path)} with {SEEN} joints that a place before the camera fits"
        found = f"the person would be {distance:.0f} m away" if distance else none
        mend = "check that keypoints and intrinsics are pixels of one image, and joints metres in camera axes"
        raise MixsteError("cannot find where the person was", found=found, mend=mend)
    path = _filled(path, known)
    if smooth_hz is not None:
        path = low_pass(path, motion.fps, smooth_hz)
    absolute = joints + path[:, None]
    errors, weights = reprojection(absolute, pixels, focal, centre), confidence * known[:, None]
    _refuse_another_camera(errors, weights, pixels)
    return absolute, _said(errors, weights, known, smooth_hz)


def solve(joints: np.ndarray, rays: np.ndarray, confidence: np.ndarray, focal: np.ndarray) -> np.ndarray:
    """Return the roots' places (t 3) that bring joints (t j 3) nearest to rays (t j 2; x / z, y / z) in pixels.

    NaN where a frame has fewer than SEEN joints with a confidence (t j) above 0, or none in front of the camera fits.
    """
    path = np.full((len(joints), 3), np.nan)
    frames = np.flatnonzero((confidence > 0).sum(axis=1) >= SEEN)
    joints, rays = joints[frames], rays[frames]
    weights = np.sqrt(confidence[frames])[..., None] * focal
    wanted = rays * joints[..., 2:] - joints[..., :2]
    rows = np.zeros((*rays.shape, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = 1.0
    rows[..., 2] = -rays
    depth = np.ones((*joints.shape[:2], 1))
    for _ in range(ROUNDS):
        scaled, right = rows * (weights / depth)[..., None], wanted * weights / depth
        normal = np.einsum("tjci,tjck->tik", scaled, scaled)
        ridge = 1e-12 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(3)
        places = np.linalg.solve(normal + ridge, np.einsum("tjci,tjc->ti", scaled, right)[..., None])[..., 0]
        ahead = joints[..., 2] + places[:, None, 2]
        depth = np.maximum(ahead, 1e-3)[..., None]
    behind = np.any((ahead <= 0) & (confidence[frames] > 0), axis=1)
    path[frames] = np.where(behind[:, None], np.nan, places)
    return path


def reprojection(absolute: np.ndarray, pixels: np.ndarray, focal: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return how far (t j), in pixels, absolute joints (t j 3) are seen from `pixels` (t j 2)."""
    seen = absolute[..., :2] / np.maximum(absolute[..., 2:], 1e-6) * focal + centre
    return np.linalg.norm(seen - pixels, axis=-1)


def stature(joints: np.ndarray, skeleton: Skeleton) -> float:
    """Judge how tall a person is from joints (t j 3), in their unit: the legs' bones, a share LEGS of the stature.

    People differ from that share by some 3 %. MixsteError for a skeleton without hips, knees and ankles, or no legs.
    """
    legs = leg_length(joints, skeleton)
    if not legs:
        found = f"{skeleton.name}, without hips, knees or ankles" if legs is None else "legs without length"
        raise MixsteError("cannot tell how tall the person is", found=found, expected="a person")
    return legs / LEGS


def pinhole(image_size: tuple[float, float], degrees: float) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy, pixels, of a camera that sees `degrees` from left to right: square pixels, centred."""
    width, height = image_size
    if not (0 < degrees < 180 and width > 0 and height > 0):
        found = f"{degrees:g} degrees, {width:g} x {height:g} pixels"
        raise MixsteError("no camera sees so", found=found, expected="an angle between 0 and 180 and an image's size")
    focal = width / 2 / float(np.tan(np.radians(degrees) / 2))
    return focal, focal, width / 2, height / 2


def _checked(motion: "Motion", keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (t j 2) and confidences (t j), float64."""
    what = "cannot find where the person was"
    state = {"unit": motion.unit, "frame": motion.frame, "rooted": motion.rooted}
    wanted = {"unit": "m", "frame": "camera", "rooted": True}
    if state != wanted:
        mend = "locate before z_up() and grounded(), and scale a motion in screen units: motion.scaled(1.75)"
        raise MixsteError(what, found=f"a motion with {state}", expected=wanted, mend=mend)
    points = np.asarray(keypoints, dtype=np.float64)
    if points.ndim != 3 or points.shape[:2] != motion.joints.shape[:2] or points.shape[2] not in (2, 3):
        frames, joints = motion.joints.shape[:2]
        expected = f"({frames}, {joints}, 2 or 3), the motion's frames and joints"
        raise MixsteError(what, found=f"keypoints of shape {points.shape}", expected=expected)
    confidence = points[..., 2] if points.shape[2] == 3 else np.ones(points.shape[:2])
    sure = np.isfinite(points).all(axis=-1) & (confidence > 0)
    return np.where(sure[..., None], points[..., :2], 0.0), np.where(sure, confidence, 0.0)


def _camera(intrinsics: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(intrinsics, dtype=np.float64)
    if values.shape != (4,) or not np.isfinite(values).all() or not (values[:2] > 0).all():
        expected = "fx, fy, cx, cy in pixels, fx and fy above 0"
        raise MixsteError("these intrinsics are no camera's", found=intrinsics, expected=expected)
    return values[:2], values[2:]


def _refuse_another_camera(errors: np.ndarray, weights: np.ndarray, pixels: np.ndarray) -> None:
    """Raise MixsteError where joints land farther from their pixels than half of what the person spans there."""
    mean = float((errors * weights).sum() / weights.sum())
    seen = np.where(weights[..., None] > 0, pixels, np.nan)[(weights > 0).sum(axis=1) >= SEEN]
    span = float(np.median(np.linalg.norm(np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1), axis=-1)))
    if mean > span / 2:
        raise MixsteError(
            "cannot find where the person was",
            found=f"joints {mean:.0f} pixels from their keypoints on average, of a person who spans {span:.0f} pixels",
            mend="check fx, fy, cx and cy, in pixels of the image that the keypoints are of",
        )


def _filled(path: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolate a path (t 3) where it is not known; at its ends it stays where it is."""
    frames = np.arange(len(path))
    return np.stack([np.interp(frames, frames[known], axis[known]) for axis in path.T], axis=1)


def _said(errors: np.ndarray, weights: np.ndarray, known: np.ndarray, smooth_hz: float | None) -> tuple[str, ...]:
    per_frame = (errors * weights).sum(axis=1)[known] / weights.sum(axis=1)[known]
    mean = float((errors * weights).sum() / weights.sum())
    worst = int(np.flatnonzero(known)[per_frame.argmax()])
    said = [
        f"The root's place was found from pixels and intrinsics; reprojection error {mean:.3g} pixels on average, "
        f"{per_frame.max():.3g} in the worst frame ({worst})."
    ]
    if missing := int((~known).sum()):
        said.append(f"In {missing} of {len(known)} frames no place was found; they were filled from their neighbours.")
    if smooth_hz is not None:
        said.append(f"The root's path was smoothed with a zero-phase Butterworth filter, cutoff {smooth_hz:g} Hz.")
    return tuple(said)
