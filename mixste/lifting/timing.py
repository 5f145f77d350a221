"""Change of frame rate by cubic splines through every frame, a few frames at a time.

A spline's value depends on a frame `MARGIN` away by less than float64 can hold, so that a part is resampled from that
many frames on either side as from all of them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

MARGIN = 28  # each frame further away counts 0.27 times as much: 1e-16

Read = Callable[[int, int], np.ndarray]


def covering(frames: int, fps: float, target: float) -> int:
    """Return how many frames at `target` fps, from the first on, cover `frames` at `fps`."""
    return frames if fps == target else int(np.ceil((frames - 1) * target / fps - 1e-9)) + 1


def at(read: Read, frames: int, positions: np.ndarray) -> np.ndarray:
    """Return values (n ...) at positions (n,), rising frame numbers with fractions, of `frames` frames that are read.

    After the last frame its value holds.
    """
    values, places = _near(read, frames, positions)
    return _spline(values, places)


def keypoints_at(read: Read, frames: int, positions: np.ndarray) -> np.ndarray:
    """Return x, y, confidence (n j 3) as `at` does, but confidence on the line between the two nearest frames'."""
    values, places = _near(read, frames, positions)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(values) - 1)
    share = (places - before)[:, None].astype(values.dtype)
    confidence = values[before, :, 2] * (1 - share) + values[after, :, 2] * share
    return np.concatenate([_spline(values[..., :2], places), confidence[..., None]], axis=-1)


def _part(held: np.ndarray, start: int, first: int, last: int) -> np.ndarray:
    return held[first - start : last - start]


def _near(read: Read, frames: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames that positions depend on, and the positions among them."""
    positions = np.minimum(positions, frames - 1)
    first = max(0, int(positions[0]) - MARGIN)
    last = min(frames, int(np.ceil(positions[-1])) + MARGIN + 1)
    return read(first, last), positions - first


def _spline(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    if len(values) == 1:
        return np.repeat(values, len(positions), axis=0)
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.arange(len(values)), values)(positions).astype(values.dtype)


def resampled(blocks: Iterable[np.ndarray], frames: int, *, step: float, wanted: int) -> Iterator[np.ndarray]:
    """Yield `wanted` values, `step` frames apart from the first on, of `frames` frames that come in blocks."""
    held, start, done = np.empty(0), 0, 0
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        end = start + len(held)
        ready = wanted if end == frames else min(wanted, int((end - 1 - MARGIN) / step) + 1)
        if ready <= done:
            continue
        yield at(partial(_part, held, start), end, np.arange(done, ready) * step)
        done = ready
        drop = min(len(held), max(0, int(done * step) - MARGIN - 1 - start))
        held, start = held[drop:], start + drop
