"""Recordings seen by cameras: random virtual views with exact 2D, and a calibrated rig with simulated detections.

Both return camera-space joints in metres with the root's trajectory kept, and 2D in screen units with a confidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mixste.cameras import Rig
from mixste.detector import DetectorSettings, detect, seeded
from mixste.geometry import apply_matrix, project_linear
from mixste.settings.rules import NOT_EMPTY, Count, NotNegative, Positive, Range, Settings
from mixste.skeleton import Skeleton

MARGIN = 0.95  # of half the image's width: a random view keeps every joint inside
NEAREST = 0.5  # metres from a random camera to the nearest joint


@dataclass(frozen=True)
class ViewSettings(Settings):
    """The random virtual cameras of pre-training: degrees, metres, focal length in screen units."""

    count: Count = 4
    clip_frames: Count = 243
    pitch_std: NotNegative = 10.0
    roll_std: NotNegative = 2.0
    distance: Range = (3.0, 6.5)
    focal: Range = (1.8, 2.8)
    aim_std: NotNegative = 0.2


@dataclass(frozen=True)
class RigSettings(Settings):
    """The calibrated cameras of fine-tuning, validation and test; radius in metres."""

    cameras: Annotated[str, NOT_EMPTY] = "h36m"
    radius: Positive = 1.5


@dataclass(frozen=True)
class Trial:
    """One recorded trial: joints (t j 3), metres, world, Z up; the names make its random numbers its own."""

    source: str
    subject: str
    name: str
    joints: np.ndarray


@dataclass(frozen=True)
class View:
    """One clip seen by one camera: keypoints (t j 3) of x, y, confidence; joints (t j 3) in camera axes, metres."""

    clip: str
    camera: str
    frames: np.ndarray
    keypoints: np.ndarray
    joints: np.ndarray


def random_views(trial: Trial, settings: ViewSettings, *, skeleton: Skeleton, seed: int) -> Iterator[View]:
    """Yield every clip of a trial as random perspective cameras see it, 2D exact and confidence 1.

    A trial is cut into equal clips of `clip_frames` or more; a shorter one is a clip as it is. The cameras stand around
    the root in the middle of the clip, at random yaw; one moves back where a joint would leave a square image or come
    nearer than NEAREST.
    """
    root = skeleton.root
    bounds = equal_parts(len(trial.joints), max(1, len(trial.joints) // settings.clip_frames))
    for index, (start, end) in enumerate(bounds):
        for number in range(settings.count):
            camera = f"view{number}"
            rng = seeded(seed, "views", trial.source, trial.subject, trial.name, str(index), camera)
            keypoints, joints = _random_view(trial.joints[start:end], root, settings, rng)
            yield View(f"{trial.name}/{index}", camera, np.arange(start, end, dtype=np.int32), keypoints, joints)


def rig_views(
    trial: Trial, rig: Rig, radius: float, *, skeleton: Skeleton, fps: float, detector: DetectorSettings, seed: int
) -> Iterator[View]:
    """Yield a trial's parts, each centred in the rig, as its cameras' simulated detections.

    A trial is cut into the fewest equal parts whose root stays within `radius` metres of the part's middle.
    """
    root = skeleton.root
    for index, (start, end) in enumerate(parts_within(trial.joints[:, root, :2], radius)):
        part = centred(trial.joints[start:end], root, rig.centre)
        for camera in rig.cameras:
            rng = seeded(seed, "rig", trial.source, trial.subject, trial.name, str(index), camera.name)
            screen, joints = camera.see(part)
            keypoints = detect(
                screen, joints[..., 2], skeleton=skeleton, fps=fps, ratio=camera.ratio, settings=detector, rng=rng
            )
            frames = np.arange(start, end, dtype=np.int32)
            yield View(f"{trial.name}/{index}", camera.name, frames, keypoints, joints)


def equal_parts(length: int, count: int) -> list[tuple[int, int]]:
    """Cut `length` frames into `count` parts of (start, end) whose lengths differ by at most one."""
    edges = np.arange(count + 1) * length // count
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def parts_within(ground: np.ndarray, radius: float) -> list[tuple[int, int]]:
    """Cut a ground path (t 2), metres, into the fewest equal parts that stay within `radius` of their middle.

    The middle is that of the box around a part.
    """
    for count in range(1, len(ground) + 1):
        bounds = equal_parts(len(ground), count)
        if all(_reach(ground[start:end]) <= radius for start, end in bounds):
            return bounds
    return []


def centred(joints: np.ndarray, root: int, centre: np.ndarray) -> np.ndarray:
    """Move a clip (t j 3) along the ground so that the middle of its root's box lies on `centre` (2,), metres."""
    shift = np.zeros(3, dtype=joints.dtype)
    shift[:2] = centre - _middle(joints[:, root, :2])
    return joints + shift


def look(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the matrix (3 3) that turns world axes, Z up, into those of a camera; radians.

    At yaw 0 the camera looks along world X, a positive pitch looks down, a positive roll turns the camera clockwise.
    """
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), -np.sin(pitch)])
    down = np.cross(forward, right)
    rolled = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    return np.stack([*rolled, forward])


def _random_view(
    joints: np.ndarray, root: int, settings: ViewSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    pitch, roll = np.radians(rng.normal(0, (settings.pitch_std, settings.roll_std)))
    turn = look(rng.uniform(0, 2 * np.pi), pitch, roll)
    distance, focal = (rng.uniform(low, high) for low, high in (settings.distance, settings.focal))
    target = joints[len(joints) // 2, root] + rng.normal(0, settings.aim_std, size=3).astype(joints.dtype)
    seen = apply_matrix(turn, joints - target)
    seen[..., 2] += max(distance, _needed_distance(seen, focal))
    screen = project_linear(seen, np.array([focal, focal, 0, 0]))
    return np.concatenate([screen, np.ones_like(screen[..., :1])], axis=-1), seen


def _needed_distance(seen: np.ndarray, focal: float) -> float:
    """How far back the camera must stand for all joints, given in its axes around the point it aims at."""
    wide = np.abs(seen[..., :2]).max(axis=-1) * (focal / MARGIN)
    return float((np.maximum(wide, NEAREST) - seen[..., 2]).max())


def _middle(ground: np.ndarray) -> np.ndarray:
    return (ground.min(axis=0) + ground.max(axis=0)) / 2


def _reach(ground: np.ndarray) -> float:
    return float(np.linalg.norm(ground - _middle(ground), axis=-1).max())
