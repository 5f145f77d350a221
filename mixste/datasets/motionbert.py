"""Human3.6M as MotionBERT's `h36m_sh_conf_cam_source_final.pkl` has it: stacked-hourglass 2D with confidence.

Its 3D lies in the image: x and y where the joint is seen, z on the same scale, all in pixels, so that its unit here is
the screen's. Only the test half says what a pixel is in millimetres (`2.5d_factor`, one a frame); it becomes `scale`,
and errors of test subjects are in millimetres, those of training subjects in thousandths of a screen unit.

Beside Human3.6M in VideoPose3D's files: other 2D, a factor that only the truth gives, S11's Directions kept, and three
videos of S9 that the authors left out because their 2D and 3D do not belong together. Their numbers and those of the
CPN protocol are not comparable. The authors also cut each test video into 243 frames and drop the rest; here every
frame stays, and what a protocol leaves out is for the evaluation to leave out.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixste.cameras import load_rig
from mixste.datasets.clip import Clip, DataSet, Reading, check_order
from mixste.datasets.videopose import on_screen
from mixste.errors import MixsteError
from mixste.files.restricted import read_pickle
from mixste.skeleton import load_skeleton

KEYS = ("joint_2d", "confidence", "joint3d_image", "camera_name", "source", "action")
FACTOR = "2.5d_factor"
SOURCE = re.compile(r"s_(\d+)_act_(\d+)_subact_(\d+)_ca_(\d+)")
# Human3.6M's own numbering of its actions begins at 2.
ACTIONS = dict(
    enumerate(
        (
            *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting"),
            *("SittingDown", "Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether"),
        ),
        start=2,
    )
)


def read(data: DataSet, subject: str) -> Reading:
    """Return every video of a subject, from the half of the file that it is in; MixsteError if it is in none."""
    path = data.files[0]
    halves = _halves(read_pickle(path), path)
    found = {name: np.flatnonzero(_subjects(half) == subject) for name, half in halves.items()}
    of_subject = [(name, frames) for name, frames in found.items() if len(frames)]
    if not of_subject:
        known = sorted({str(name) for half in halves.values() for name in _subjects(half)})
        raise MixsteError(f"no subject {subject} in {path}", found=", ".join(known))
    clips = tuple(clip for name, frames in of_subject for clip in _clips(halves[name], frames, subject))
    order = np.concatenate([clip.joints for clip in clips])
    check_order(order, load_skeleton("h36m17"), f"{subject} in {path}")
    return Reading(clips)


def _halves(tree: Any, path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the file's two halves as arrays of one length; MixsteError for a missing key or other lengths."""
    if not isinstance(tree, dict) or not {"train", "test"} <= set(tree):
        raise MixsteError(f"cannot use {path}", found=_kind(tree), expected="a dictionary of train and test")
    return {name: _half(tree[name], name, path) for name in ("train", "test")}


def _half(tree: Any, name: str, path: Path) -> dict[str, np.ndarray]:
    wanted = KEYS if name == "train" else (*KEYS, FACTOR)
    missing = [key for key in wanted if not isinstance(tree, dict) or key not in tree]
    if missing:
        raise MixsteError(f"cannot use {path}", found=f"{name}: {_kind(tree)}", expected=", ".join(wanted))
    half = {key: np.asarray(tree[key]) for key in wanted}
    lengths = {key: len(values) for key, values in half.items()}
    if len(set(lengths.values())) > 1:
        raise MixsteError(f"cannot use {path}", found=f"{name} with lengths {lengths}", expected="one length")
    for key, channels in (("joint_2d", 2), ("joint3d_image", 3)):
        if half[key].shape[1:] != (17, channels):
            expected = f"(frames, 17, {channels})"
            raise MixsteError(
                f"cannot use {path}", found=f"{name}: {key} of shape {half[key].shape}", expected=expected
            )
    return half


def _kind(tree: Any) -> str:
    return ", ".join(map(str, tree)) if isinstance(tree, dict) else type(tree).__name__


def _subjects(half: dict[str, np.ndarray]) -> np.ndarray:
    """Return the subject of every frame, as S9."""
    names, frames = np.unique(half["source"].astype(str), return_inverse=True)
    return np.array([f"S{_source(name)[0]}" for name in names], dtype=object)[frames]


def _source(name: str) -> tuple[int, int, int, int]:
    """Return subject, action, its recording and camera as numbers."""
    match = SOURCE.fullmatch(name)
    if match is None:
        raise MixsteError("a video has an unknown name", found=name, expected="s_09_act_05_subact_02_ca_01")
    subject, action, recording, camera = map(int, match.groups())
    return subject, action, recording, camera


def _clips(half: dict[str, np.ndarray], frames: np.ndarray, subject: str) -> Iterator[Clip]:
    sizes = {camera.name: camera.size for camera in load_rig("h36m").cameras}
    source = half["source"][frames]
    starts = np.flatnonzero(np.concatenate([[True], (source[1:] != source[:-1]) | (np.diff(frames) != 1)]))
    for start, end in zip(starts, [*starts[1:], len(frames)], strict=True):
        video = {key: values[frames[start] : frames[end - 1] + 1] for key, values in half.items()}
        name, camera = str(source[start]), str(video["camera_name"][0])
        if camera not in sizes:
            raise MixsteError(f"video {name} is of an unknown camera", found=camera, expected=", ".join(sizes))
        yield _clip(video, name, subject, camera, sizes[camera])


def _clip(video: dict[str, np.ndarray], name: str, subject: str, camera: str, size: tuple[float, ...]) -> Clip:
    confidence = video["confidence"].reshape(len(video["joint_2d"]), 17, 1)
    pixels = np.concatenate([video["joint_2d"], confidence], axis=-1).astype(np.float32)
    depth = video["joint3d_image"][..., 2:].astype(np.float32) / (size[0] / 2)
    place = on_screen(video["joint3d_image"][..., :2].astype(np.float32), size)[..., :2]
    factor = video.get(FACTOR)
    return Clip(
        name=name.rsplit("_ca_", 1)[0],
        subject=subject,
        action=ACTIONS.get(_source(name)[1], str(video["action"][0])),
        camera=camera,
        keypoints=on_screen(pixels, size),
        joints=np.concatenate([place, depth], axis=-1),
        # millimetres a pixel -> metres a screen unit, which is half the image's width
        scale=None if factor is None else (factor.reshape(-1) * (size[0] / 2) / 1000).astype(np.float32),
    )
