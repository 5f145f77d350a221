"""A motion as pictures that move: GIF, and MP4 where ffmpeg is installed. Poses are relative to the root."""

import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixste.drawing import frames, turned
from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.motion_files import ffmpeg
from mixste.skeleton import load_skeleton

if TYPE_CHECKING:
    from mixste.motion import Motion

GIF_FPS, MP4_FPS = 12.5, 30.0
VIEWS = {f"{degrees:g}°": degrees for degrees in (0.0, 40.0, 90.0)}
CAMERA = {"camera": np.eye(3), "world": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])}


def write_gif(path: Path, motion: "Motion", *, title: str = "", shown_fps: float = GIF_FPS) -> None:
    """Write a GIF that loops, at the motion's speed; it shows about `shown_fps` pictures a second."""
    from PIL import Image

    step = max(1, round(motion.fps / shown_fps))
    pictures = (
        Image.fromarray(image).quantize(48, dither=Image.Dither.NONE) for image in _pictures(motion, step, title)
    )
    with whole_file(path) as partial:
        lasts = round(1000 * step / motion.fps)
        first, style = next(pictures), {"duration": lasts, "loop": 0, "optimize": True}
        first.save(partial, format="GIF", save_all=True, append_images=pictures, **style)


def write_mp4(path: Path, motion: "Motion", *, title: str = "", shown_fps: float = MP4_FPS) -> None:
    """Write a video by ffmpeg; MixsteError if that is not installed, or fails."""
    program = ffmpeg(path)
    step = max(1, round(motion.fps / shown_fps))
    pictures = _pictures(motion, step, title)
    first = next(pictures)
    size, rate = f"{first.shape[1]}x{first.shape[0]}", f"{motion.fps / step:.6f}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", rate, "-i", "-"]
    target = ["-an", "-pix_fmt", "yuv420p", "-fflags", "+bitexact", "-f", "mp4", "-y"]
    with whole_file(path) as partial:
        _piped([program, "-loglevel", "error", *source, *target, str(partial)], chain([first], pictures), path)


def _piped(command: list[str], pictures: Iterator[np.ndarray], path: Path) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            for picture in pictures:
                process.stdin.write(picture.tobytes())  # type: ignore[union-attr]
        except BrokenPipeError:
            pass  # it says below why it stopped
        _, said = process.communicate()
    if process.returncode:
        found = said.decode(errors="replace").strip()[-300:] or f"exit status {process.returncode}"
        raise MixsteError(f"ffmpeg cannot write {path}", found=found)


def _pictures(motion: "Motion", step: int, title: str) -> Iterator[np.ndarray]:
    """Yield an RGB picture for every `step`-th frame: the person from the camera, and from two sides."""
    skeleton = load_skeleton(motion.skeleton)
    joints = motion.joints[::step] @ CAMERA[motion.frame].astype(np.float32).T
    panels = {name: turned(joints, skeleton.root, degrees=degrees) for name, degrees in VIEWS.items()}
    seconds = np.arange(len(joints)) * step / motion.fps
    yield from frames(panels, [f"{second:.1f} s" for second in seconds], skeleton, title, "")
