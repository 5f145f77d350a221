"""The layout of VideoPose3D's npz files, which Human3.6M and HumanEva come in.

3D: `positions_3d`, {subject: {action: (t k 3)}}, metres, world. 2D: `positions_2d`, {subject: {action: [one (t j 2) a
camera]}}, pixels, and `metadata` with the number of joints and which of them are left and right.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixste.errors import MixsteError, counted
from mixste.files.restricted import read_npz
from mixste.geometry import normalise_screen
from mixste.joint_maps import JointMap, map_skeleton
from mixste.skeleton import Skeleton, load_skeleton

LONGER = 50  # frames that 2D may have after the last of 3D; they are cut off
LAYOUTS = ("h36m17", "h36m16", "coco17", "humaneva15")


@dataclass(frozen=True)
class Detections:
    """The 2D of one subject: {action: [one (t k 2) a camera]} in pixels, and how it becomes a skeleton's."""

    path: Path
    actions: dict[str, list[np.ndarray]]
    layout: Skeleton
    joint_map: JointMap

    def keypoints(self, action: str, camera: int, size: tuple[float, ...], frames: int) -> np.ndarray:
        """Return (t j 3) of x, y in screen units and confidence of as many frames as the 3D has; longer 2D is cut.

        MixsteError if the action or the camera is missing, or 2D is shorter than 3D or longer by more than LONGER. A
        third channel, where the file has it, is the confidence.
        """
        what = f"{action}, camera {camera} of {self.path}"
        if camera >= len(self.actions.get(action, ())):
            found = f"{len(self.actions[action])} cameras" if action in self.actions else ", ".join(self.actions)
            raise MixsteError(f"no 2D of {what}", found=found)
        pixels, joints = np.asarray(self.actions[action][camera], np.float32), len(self.layout.joints)
        if pixels.ndim != 3 or pixels.shape[1] != joints or pixels.shape[2] not in (2, 3):
            raise MixsteError(f"cannot use {what}", found=f"shape {pixels.shape}", expected=f"(frames, {joints}, 2)")
        if not frames <= len(pixels) <= frames + LONGER:
            found, expected = f"{len(pixels)} frames of 2D", f"{frames}, as many as of 3D, or a few more"
            raise MixsteError(f"2D and 3D are not of one length in {what}", found=found, expected=expected)
        return self.joint_map.apply_keypoints(self.layout.joints, on_screen(pixels[:frames], size))

    def cut(self, frames: dict[str, int]) -> tuple[str, ...]:
        """Say how many videos have more frames of 2D than of 3D, given the latter's {action: frames}."""
        more = [len(pixels) - frames[name] for name in frames for pixels in self.actions[name]]
        longer = [extra for extra in more if extra > 0]
        if not longer:
            return ()
        videos, most = counted(len(longer), "video"), counted(max(longer), "frame")
        return (f"cut in {videos}: up to {most} more of 2D than of 3D",)


def on_screen(pixels: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    """Return (t j 3) of x, y in screen units and confidence from pixels (t j 2 or 3), 1 where they have none."""
    confidence = pixels[..., 2:] if pixels.shape[-1] == 3 else np.ones_like(pixels[..., :1])
    return np.concatenate([normalise_screen(pixels[..., :2], *size), confidence], axis=-1)


def read_object(path: Path, key: str) -> Any:
    """Return the object that an npz wraps in an array under `key`; MixsteError if it is damaged or has no such key."""
    array = read_npz(path, [key])[key]
    return array.item() if array.ndim == 0 else array


def subject_names(path: Path) -> tuple[str, ...]:
    """Return the subjects of a file of 3D who have recordings, as tables and settings name them."""
    return tuple(name for name, actions in _subjects(read_object(path, "positions_3d"), path).items() if actions)


def read_poses(path: Path, subject: str, joints: int) -> dict[str, np.ndarray]:
    """Return {action: (t k 3)} of a subject; MixsteError if it is missing or an array has not k = `joints` joints."""
    actions = _of_subject(read_object(path, "positions_3d"), subject, path)
    poses = {}
    for action, values in actions.items():
        poses[action] = pose = np.asarray(values, np.float32)
        if pose.ndim != 3 or pose.shape[1:] != (joints, 3) or not len(pose):
            found, expected = f"shape {pose.shape}", f"(frames, {joints}, 3)"
            raise MixsteError(f"cannot use {subject}, {action} of {path}", found=found, expected=expected)
    return poses


def read_detections(path: Path, subject: str, skeleton: str) -> Detections:
    """Return the 2D of a subject, mapped onto `skeleton`; MixsteError if it is missing or in an unknown layout."""
    layout = _layout(read_object(path, "metadata"), path)
    joint_map = map_skeleton(layout.name, skeleton)
    if joint_map.missing:
        found = f"{layout.name}, which has no {', '.join(joint_map.missing)}"
        mend = f"set data.skeleton to {layout.name}" if layout.name.startswith("h36m") else None
        raise MixsteError(f"the 2D of {path} cannot make {skeleton}", found=found, expected="its joints", mend=mend)
    actions = _of_subject(read_object(path, "positions_2d"), subject, path)
    return Detections(path, {name: list(cameras) for name, cameras in actions.items()}, layout, joint_map)


def action_of(name: str) -> str:
    """Return the action of `Sitting 1` or `Walking 1 chunk0`: without what tells its recordings apart."""
    return re.sub(r"( \d+)?( chunk\d+)?$", "", name)


def _subjects(tree: Any, path: Path) -> dict[str, Any]:
    """Return a file's subjects by their names here: the file's, with _ for / because they become names of files."""
    if not isinstance(tree, dict):
        raise MixsteError(f"cannot use {path}", found=type(tree).__name__, expected="a dictionary of subjects")
    return {str(key).replace("/", "_"): actions for key, actions in tree.items()}


def _of_subject(tree: Any, subject: str, path: Path) -> dict[str, Any]:
    named = _subjects(tree, path)
    if subject not in named:
        raise MixsteError(
            f"no subject {subject} in {path}", found=", ".join(named), expected="every subject of data.split"
        )
    if not isinstance(named[subject], dict) or not named[subject]:
        raise MixsteError(f"subject {subject} of {path} is empty", expected="a dictionary of actions")
    return named[subject]


def _layout(metadata: Any, path: Path) -> Skeleton:
    """Return the layout whose number of joints and pairs of left and right are the file's."""
    match metadata:
        case {"num_joints": number, "keypoints_symmetry": [left, right], **_rest} if len(left) == len(right):
            pairs = {(int(one), int(other)) for one, other in zip(left, right, strict=True)}
        case _:
            expected = "num_joints, and keypoints_symmetry of as many left as right"
            raise MixsteError(f"cannot use {path}", found=f"metadata {metadata}", expected=expected)
    for layout in map(load_skeleton, LAYOUTS):
        if (number, pairs) == (len(layout.joints), {*zip(layout.left, layout.right, strict=True)}):
            return layout
    raise MixsteError(
        f"the 2D of {path} is in an unknown order",
        found=f"{number} joints, left {list(left)}, right {list(right)}",
        expected=f"the joints of {', '.join(LAYOUTS)}",
    )
