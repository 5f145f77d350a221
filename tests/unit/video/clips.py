"""Small real videos of a bright square that goes to the right, and a stand-in detector that finds it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mixste.skeleton import load_skeleton

WIDTH, HEIGHT, FPS = 160, 120, 25
SQUARE = 24
JOINTS = len(load_skeleton("coco17").joints)


def left(frame: int) -> int:
    """Where the square of a frame begins."""
    return 8 + 4 * frame


def picture(frame: int) -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[40 : 40 + SQUARE, left(frame) : left(frame) + SQUARE] = (255, 40, 40)
    return image


def write_clip(path: Path, frames: int = 20, *, moments: list[int] | None = None, codec: str = "mpeg4") -> Path:
    """Write such a video; `moments` are when its frames are shown, in 1/FPS s, evenly by default."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = moments[number] if moments else number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn_clockwise(path: Path) -> None:
    """Have players turn the video by a quarter, as telephones do: by the matrix in the track's header."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = np.array(quarter, dtype=">i4").tobytes()
    path.write_bytes(data)


class Finder:
    """A `Detector`: around the red square, as if its joints stood on a grid in it; nobody where there is none."""

    skeleton = "coco17"

    def __init__(self) -> None:
        self.pictures = 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.pictures += 1
        y, x = np.nonzero(image[..., 0].astype(int) - image[..., 2] > 100)
        if not len(x):
            return np.empty((0, JOINTS, 3))
        grid = np.stack(np.unravel_index(np.arange(JOINTS), (5, 4)), axis=-1)[:, ::-1] / (4, 5)
        low, high = np.array([x.min(), y.min()]), np.array([x.max() + 1, y.max() + 1])
        return np.concatenate([low + grid * (high - low), np.full((JOINTS, 1), 0.9)], axis=-1)[None]


def nobody(image: np.ndarray) -> np.ndarray:
    """A detector that finds nobody."""
    return np.empty((0, JOINTS, 3))


nobody.skeleton = "coco17"  # type: ignore[attr-defined]
