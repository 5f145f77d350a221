"""What a reader of a data set is given and what it returns."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixste.errors import MixsteError
from mixste.skeleton import Skeleton

UNEVEN = 1.5  # how many times as long a limb's bone may be as that of the other side


@dataclass(frozen=True)
class DataSet:
    """A data set on disk: its name here, its format and files as FORMATS lists them, and the skeleton to make of it."""

    name: str
    format: str
    files: tuple[Path, ...]
    skeleton: str


@dataclass(frozen=True)
class Clip:
    """One video of one camera: keypoints (t j 3) of x, y in screen units and confidence, 1 where the file has none.

    joints (t j 3) in camera axes, absolute, in the data set's unit. Frames that are not `valid` (t,) are not scored;
    `scale` (t,) is metres per unit of joints where that changes from frame to frame.
    """

    name: str
    subject: str
    action: str
    camera: str
    keypoints: np.ndarray
    joints: np.ndarray
    valid: np.ndarray | None = None
    scale: np.ndarray | None = None


@dataclass(frozen=True)
class Reading:
    """All clips of one subject, how each keypoint was made of the file's, and what is uncommon in the files."""

    clips: tuple[Clip, ...]
    keypoints: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def check_clip(clip: Clip, skeleton: Skeleton) -> None:
    """Raise MixsteError if a clip is empty, its arrays do not fit the skeleton and each other, or a value is NaN."""
    what, joints = f"cannot use {clip.subject}, {clip.name}, camera {clip.camera}", len(skeleton.joints)
    frames = len(clip.joints)
    wanted: dict[str, tuple[int, ...]] = {"joints": (frames, joints, 3), "keypoints": (frames, joints, 3)}
    wanted |= {"valid": (frames,), "scale": (frames,)}
    for name, shape in wanted.items():
        values = getattr(clip, name)
        if values is None:
            continue
        if values.shape != shape or not len(values):
            raise MixsteError(what, found=f"{name} of shape {values.shape}", expected=f"{shape}, at least one frame")
        if not np.isfinite(values).all():
            frame = int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
            raise MixsteError(what, found=f"{name} that are NaN or infinite in frame {frame}", expected="numbers")


def check_order(joints: np.ndarray, skeleton: Skeleton, what: str) -> None:
    """Raise MixsteError if joints (t j 3) are not in the skeleton's order, as far as the limbs' lengths tell it.

    In the right order, an arm's or a leg's bone is as long as the other side's. `what` names the joints.
    """
    lengths = {bone: _length(joints, bone) for bone in skeleton.limbs}
    for (parent, child), length in lengths.items():
        other = lengths[skeleton.flip[parent], skeleton.flip[child]]
        if length > UNEVEN * other:
            raise MixsteError(
                f"the joints of {what} are in another order than those of {skeleton.name}",
                found=f"{skeleton.joints[parent]}-{skeleton.joints[child]} {length / other:.1f} times as long as the "
                "other side's",
                expected=", ".join(skeleton.joints),
            )


def _length(joints: np.ndarray, bone: tuple[int, int]) -> float:
    parent, child = bone
    return float(np.median(np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)))
