"""Human3.6M in VideoPose3D's npz files: world poses of 32 joints, and 2D of any detector or the ground truth.

The 17 joints that the field uses are taken from the 32, turned into each camera's axes by its pose for that subject,
and held against the 2D: where Human3.6M's own camera model does not put the joints near their keypoints, one of the two
is in another order, or of another data set.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from mixste.cameras import Camera, load_rig
from mixste.captures.capture import Recording
from mixste.datasets.clip import Clip, DataSet, Reading, check_order
from mixste.datasets.videopose import Detections, action_of, read_detections, read_poses
from mixste.errors import MixsteError
from mixste.geometry import denormalise_screen, project
from mixste.joint_maps import map_skeleton
from mixste.skeleton import Skeleton, load_skeleton

FPS = 50.0
RAW_JOINTS = 32
# Of the 32 joints those of h36m17, in its order, as VideoPose3D keeps them.
COLUMNS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
FARTHEST = 60.0  # pixels of 1000 between a joint and its keypoint in the median frame; a detector errs by about 10
EVERY = 16  # frames between those in which 3D and 2D are compared
ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting"),
    *("SittingDown", "Smoking", "Waiting", "WalkDog", "WalkTogether", "Walking"),
)


def read(data: DataSet, subject: str) -> Reading:
    """Return every video of a subject; MixsteError if 2D and 3D do not belong together or the cameras are unknown."""
    poses, cameras, skeleton = _poses(data, subject), subject_cameras(subject), load_skeleton(data.skeleton)
    detections = read_detections(data.files[1], subject, data.skeleton)
    clips = tuple(_clips(poses, cameras, detections, subject))
    _check_agreement(clips, cameras, skeleton, data.files[1])
    notes = (*_absent(poses), *detections.cut({name: len(pose) for name, pose in poses.items()}))
    return Reading(clips, detections.joint_map.report(), notes)


def read_recordings(data: DataSet, subject: str) -> tuple[Recording, ...]:
    """Return a subject's recordings in world coordinates, Z up, as they are in the file."""
    poses = _poses(data, subject)
    return tuple(Recording(data.name, name, subject, action_of(name), FPS, pose) for name, pose in poses.items())


@cache
def subject_cameras(subject: str) -> tuple[Camera, ...]:
    """Return the four cameras as they stood for a subject; MixsteError for one whose cameras are not known."""
    poses = yaml.safe_load((Path(__file__).parent / "h36m_poses.yaml").read_text(encoding="utf-8"))
    if subject not in poses:
        raise MixsteError(f"no camera of Human3.6M is known for subject {subject}", expected=", ".join(poses))
    placed = []
    for camera, pose in zip(load_rig("h36m").cameras, poses[subject], strict=True):
        turn = np.array(pose["orientation"])
        orientation = tuple((turn / np.linalg.norm(turn)).tolist())
        placed.append(replace(camera, orientation=orientation, translation=tuple(pose["translation"])))
    return tuple(placed)


def _poses(data: DataSet, subject: str) -> dict[str, np.ndarray]:
    """Return {action: (t j 3)}, metres, world, of the skeleton."""
    joints, joint_map = load_skeleton("h36m17"), map_skeleton("h36m17", data.skeleton)
    poses = read_poses(data.files[0], subject, RAW_JOINTS)
    kept = {name: pose[:, COLUMNS] for name, pose in poses.items()}
    check_order(np.concatenate([*kept.values()]), joints, f"{subject} in {data.files[0]}")
    return {name: joint_map.apply(joints.joints, pose) for name, pose in kept.items()}


def _clips(
    poses: dict[str, np.ndarray], cameras: tuple[Camera, ...], detections: Detections, subject: str
) -> Iterator[Clip]:
    for name, pose in poses.items():
        for number, camera in enumerate(cameras):
            keypoints = detections.keypoints(name, number, camera.size, len(pose))
            _, joints = camera.see(pose)
            yield Clip(name, subject, action_of(name), camera.name, keypoints, joints)


def _absent(poses: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Say which of the 15 actions have fewer than two recordings; S11 has one of Directions, the other is corrupt."""
    counts = dict.fromkeys(ACTIONS, 0)
    for name in poses:
        counts[action_of(name)] = counts.get(action_of(name), 0) + 1
    few = [f"{action} ({count})" for action, count in counts.items() if count < 2]
    return (f"fewer than two recordings of {', '.join(few)}",) if few else ()


def _check_agreement(clips: tuple[Clip, ...], cameras: tuple[Camera, ...], skeleton: Skeleton, path: Path) -> None:
    """Refuse 2D whose joints lie far from where the cameras see the 3D, or nearer to the other side's."""
    expected = "each joint's keypoint where its camera sees it"
    straight = _distances(clips, cameras, range(len(skeleton.joints)))
    if not np.isfinite(straight).all():
        return  # check_clip names the frame
    crossed = _distances(clips, cameras, skeleton.flip)
    sided = [*skeleton.left, *skeleton.right]
    if straight[sided].sum() > crossed[sided].sum() + len(sided):
        raise MixsteError(f"left and right are swapped in {path} or in the 3D", expected=expected)
    worst = int(straight.argmax())
    if straight[worst] > FARTHEST:
        found = f"{skeleton.joints[worst]} {straight[worst]:.0f} pixels away in the median frame of {clips[0].subject}"
        raise MixsteError(
            f"the 2D of {path} and the 3D do not belong together, or their joints are in another order",
            found=found,
            expected=expected,
        )


def _distances(clips: tuple[Clip, ...], cameras: tuple[Camera, ...], order: tuple[int, ...] | range) -> np.ndarray:
    """Return for every joint the median distance (j), in pixels, of its keypoints from the 3D joints in an `order`."""
    by_name = {camera.name: camera for camera in cameras}
    apart = []
    for clip in clips:
        camera, frames = by_name[clip.camera], slice(None, None, EVERY)
        seen = project(clip.joints[frames][:, list(order)], camera.intrinsics)
        gap = denormalise_screen(seen, *camera.size) - denormalise_screen(clip.keypoints[frames, :, :2], *camera.size)
        apart.append(np.linalg.norm(gap, axis=-1))
    return np.median(np.concatenate(apart), axis=0)
