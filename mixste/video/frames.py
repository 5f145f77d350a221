"""The frames of a video file, one at a time, as they are shown: by PyAV, which has FFmpeg's libraries in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixste.detections.formats import first_bytes
from mixste.errors import MixsteError

NEEDS = "in mixste's checkout: pip install -e '.[video]'"
_BEGINNINGS = (b"\x1aE\xdf\xa3", b"FLV", b"\x00\x00\x01\xba", b"G@")  # Matroska and WebM, Flash, MPEG's two


def is_video(path: Path) -> bool:
    """Whether a file begins as MP4, QuickTime, Matroska, WebM, AVI, Flash and MPEG do; MixsteError if there is none."""
    if path.is_dir():
        return False
    head = first_bytes(path)
    container = head[4:8] in (b"ftyp", b"moov", b"wide") or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    return container or head.startswith(_BEGINNINGS)


@dataclass(frozen=True)
class Video:
    """A video that is open: the frames a second that it may have, and how many frames it says that it holds.

    `frames` yields when each is shown, in seconds (None: the file does not say), and the picture (h w 3), uint8, RGB.
    `square`: whether its pixels are.
    """

    rates: tuple[float, ...]
    length: int
    square: bool
    frames: Iterator[tuple[float | None, np.ndarray]]


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """Open a video for the block; memory holds one frame. MixsteError if it is none, or damaged, or PyAV is missing."""
    try:
        import av
    except ImportError as error:
        raise MixsteError("cannot read a video", found="no PyAV", expected="the extra video", mend=NEEDS) from error
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise MixsteError(f"{path} is no video", found="no pictures in it", expected="a stream of video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rates = tuple(float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate)
            square = stream.sample_aspect_ratio in (None, 0, 1)
            yield Video(rates, stream.frames, square, _frames(container, stream))
    except av.error.FFmpegError as error:
        found = f"{error.strerror or error}"
        raise MixsteError(
            f"cannot read the video {path}", found=found, expected="a whole video", mend="copy or export it again"
        ) from error


def _frames(container: Any, stream: Any) -> Iterator[tuple[float | None, np.ndarray]]:
    for frame in container.decode(stream):
        # stored lying down and turned by the player, as telephones do; degrees are counterclockwise
        turned = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
        yield frame.time, np.ascontiguousarray(turned)
