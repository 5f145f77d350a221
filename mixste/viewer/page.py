"""The page: the template with styles, script and data in it. The same motion gives the same bytes."""

import base64
import hashlib
import html
import json
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from mixste.drawing import LEFT, MIDDLE, RIGHT
from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.skeleton import Skeleton, load_skeleton
from mixste.viewer.packing import pack

if TYPE_CHECKING:
    from mixste.motion import Motion

FOLDER = Path(__file__).parent
SCRIPTS = ("numbers.js", "drawing.js", "viewer.js")
STEPS = {"m": 4e-4, "screen": 1e-4}  # joints are shown at most half of this off: 0.2 mm an axis
PIXELS = 4000  # steps across the 2D input
SHADES = 50  # steps of confidence

# Where the viewer's right, forward and up are in a motion's axes, and how those are drawn: X right, Y forward, Z up.
TURNS = {"camera": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), "world": np.eye(3)}


def write_html(
    path: str | Path,
    motion: "Motion",
    *,
    keypoints: np.ndarray | None = None,
    keypoint_skeleton: str | None = None,
    truth: np.ndarray | None = None,
    title: str = "",
) -> Path:
    """Write a motion as one HTML file and return its path.

    Beside it is the 2D input, keypoints (t k 2+: x, y down, confidence; pixels or any unit) of a skeleton, by default
    the motion's own; a keypoint without confidence or that is NaN is not drawn. Over it is `truth` (t j 3), in the
    motion's frame and unit; errors are root-relative. MixsteError for arrays that do not fit the motion.
    """
    page = _page(title or Path(path).stem, _scene(motion, keypoints, keypoint_skeleton or motion.skeleton, truth))
    with whole_file(Path(path)) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    return Path(path)


def _page(title: str, scene: dict[str, Any]) -> str:
    """Fill the template. Its policy lets no script run but ours, by its hash, and nothing be fetched."""
    parts = "".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{parts}}})();\n'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    sides = f":root {{ --left: {LEFT}; --right: {RIGHT}; --middle: {MIDDLE}; }}\n"
    return Template((FOLDER / "viewer.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        policy=f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:",
        style=sides + (FOLDER / "viewer.css").read_text(encoding="utf-8"),
        scene=json.dumps(scene, separators=(",", ":"), sort_keys=True, allow_nan=False).replace("<", "\\u003c"),
        script=script,
    )


def _scene(motion: "Motion", keypoints: np.ndarray | None, layout: str, truth: np.ndarray | None) -> dict[str, Any]:
    """All that viewer.js draws, for JSON."""
    skeleton = load_skeleton(motion.skeleton)
    joints = np.asarray(motion.joints, dtype=np.float64)
    turn, step = TURNS[motion.frame], STEPS[motion.unit]
    scene = {
        "frames": len(joints),
        "fps": motion.fps,
        "unit": motion.unit,
        "frame": motion.frame,
        "axes": turn.T.tolist(),
        "rooted": motion.rooted,
        "report": list(motion.report),
        "body": _layout(skeleton),
        "motion": pack(joints @ turn.T, step),
    }
    if truth is not None:
        target = _checked("the ground truth", truth, joints.shape)
        target = target - target[:, [skeleton.root]] if motion.rooted else target
        scene["truth"] = pack(target @ turn.T, step)
    if keypoints is not None:
        scene["input"] = _input(keypoints, load_skeleton(layout), len(joints))
    return scene


def _layout(skeleton: Skeleton) -> dict[str, Any]:
    sides = dict.fromkeys(skeleton.left, "left") | dict.fromkeys(skeleton.right, "right")
    return {
        "name": skeleton.name,
        "joints": skeleton.joints,
        "bones": skeleton.bones,
        "sides": [sides.get(joint, "middle") for joint in range(len(skeleton.joints))],
        "root": skeleton.root,
    }


def _input(keypoints: np.ndarray, skeleton: Skeleton, frames: int) -> dict[str, Any]:
    """The 2D input from its upper left corner on, with its size."""
    found = np.asarray(keypoints)
    channels = found.shape[2] if found.ndim == 3 and found.shape[2] > 1 else 2
    found = _checked("the 2D input", found, (frames, len(skeleton.joints), channels))
    seen = np.isfinite(found[..., :2]).all(axis=-1)
    if channels > 2:
        seen &= found[..., 2] > 0
    places = np.where(seen[..., None], found[..., :2], np.nan)
    low, high = (edge(found[..., :2][seen], axis=0) if seen.any() else np.zeros(2) for edge in (np.min, np.max))
    size = np.maximum(high - low, 1e-6)
    layout = _layout(skeleton) | {"size": size.tolist(), "points": pack(places - low, float(size.max()) / PIXELS)}
    if channels > 2:
        layout["confidence"] = pack(np.clip(np.nan_to_num(found[..., 2]), 0, 1), 1 / SHADES)
    return layout


def _checked(what: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return values as float64; MixsteError if they are not of this shape."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        expected = f"{shape}: the motion's frames, and joints of the skeleton"
        raise MixsteError(f"cannot show {what} beside the motion", found=f"shape {array.shape}", expected=expected)
    return array
