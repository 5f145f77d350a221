"""HumanEva-I in VideoPose3D's npz files: world poses of 15 joints at 60 Hz, cut where the motion capture is not valid.

The files hold no cameras. Each is found from the ground truth's 2D of the same poses, by resection, for every subject;
how far it then puts the joints from their 2D is among the notes, and far off is refused. The lens is taken as free of
distortion; only the camera's pose is used.

The file's subject `Train/S1` is `Train_S1` here: subjects become names of files.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixste.captures.capture import Recording
from mixste.datasets.clip import Clip, DataSet, Reading, check_order
from mixste.datasets.resection import reproject, resect
from mixste.datasets.videopose import Detections, action_of, read_detections, read_poses
from mixste.errors import MixsteError
from mixste.geometry import apply_matrix, denormalise_screen
from mixste.skeleton import load_skeleton

FPS = 60.0
LAYOUT = load_skeleton("humaneva15")
CAMERAS = ("C1", "C2", "C3")
SIZE = (640.0, 480.0)
POINTS = 3000  # that a camera is found from
FARTHEST = 4.0  # pixels from the 2D at which a camera, in the median of the points, is refused


@dataclass(frozen=True)
class Pose:
    """A camera's rotation (3 3) and translation (3,), metres, from world axes into its own; `error` is in pixels."""

    rotation: np.ndarray
    translation: np.ndarray
    error: float


def read(data: DataSet, subject: str) -> Reading:
    """Return every video of a subject; MixsteError if 2D and 3D do not belong together."""
    poses = _poses(data, subject)
    truth, detections = (read_detections(path, subject, data.skeleton) for path in data.files[1:])
    cameras = [_camera(poses, truth, number, subject) for number in range(len(CAMERAS))]
    clips = tuple(_clips(poses, cameras, detections, subject))
    errors = ", ".join(f"{name} {camera.error:.2f}" for name, camera in zip(CAMERAS, cameras, strict=True))
    found = f"cameras found from the 2D of the ground truth, median error in pixels: {errors}"
    notes = (found, *detections.cut({name: len(pose) for name, pose in poses.items()}))
    return Reading(clips, detections.joint_map.report(), notes)


def read_recordings(data: DataSet, subject: str) -> tuple[Recording, ...]:
    """Return a subject's recordings in world coordinates; MixsteError if Z is not up."""
    poses = _poses(data, subject)
    together = np.concatenate([*poses.values()])
    feet = together[:, [LAYOUT.index(name) for name in ("l_ankle", "r_ankle")]].mean(axis=1)
    body = np.median(together[:, LAYOUT.index("head")] - feet, axis=0)
    if body[2] < 0.8 * np.linalg.norm(body):
        found = f"heads that lie {np.round(body, 2).tolist()} m from the ankles"
        raise MixsteError(f"Z does not point up in {data.files[0]}", found=found, expected="x, y near 0 and z above 1")
    return tuple(Recording(data.name, name, subject, action_of(name), FPS, pose) for name, pose in poses.items())


def _poses(data: DataSet, subject: str) -> dict[str, np.ndarray]:
    poses = read_poses(data.files[0], subject, len(LAYOUT.joints))
    check_order(np.concatenate([*poses.values()]), LAYOUT, f"{subject} in {data.files[0]}")
    return poses


def _camera(poses: dict[str, np.ndarray], truth: Detections, number: int, subject: str) -> Pose:
    world = np.concatenate([*poses.values()]).reshape(-1, 3).astype(np.float64)
    screen = [truth.keypoints(name, number, SIZE, len(pose))[..., :2] for name, pose in poses.items()]
    pixels = denormalise_screen(np.concatenate(screen).reshape(-1, 2).astype(np.float64), *SIZE)
    chosen = np.linspace(0, len(world) - 1, min(len(world), POINTS)).astype(int)
    world, pixels = world[chosen], pixels[chosen]
    if not (np.isfinite(world).all() and np.isfinite(pixels).all()):
        raise MixsteError(f"cannot use {subject} of {truth.path}", found="NaN", expected="chunks of valid frames")
    intrinsics, rotation, translation = resect(world, pixels)
    apart = np.linalg.norm(reproject(world, intrinsics, rotation, translation) - pixels, axis=1)
    if (error := float(np.median(apart))) > FARTHEST or np.linalg.det(rotation) < 0:
        raise MixsteError(
            f"no camera sees the 3D of {subject} as camera {CAMERAS[number]} of {truth.path} does",
            found=f"{error:.1f} pixels apart in the median, mirrored: {np.linalg.det(rotation) < 0}",
            expected=f"the ground truth's 2D of the same poses and joints, {FARTHEST:g} pixels apart at most",
        )
    return Pose(rotation, translation, error)


def _clips(poses: dict[str, np.ndarray], cameras: list[Pose], detections: Detections, subject: str) -> Iterator[Clip]:
    for name, pose in poses.items():
        for number, camera in enumerate(cameras):
            keypoints = detections.keypoints(name, number, SIZE, len(pose))
            joints = apply_matrix(camera.rotation, pose) + camera.translation.astype(np.float32)
            yield Clip(name, subject, action_of(name), CAMERAS[number], keypoints, joints)
