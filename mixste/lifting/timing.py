"""Change of frame rate by cubic splines through every frame, a few frames at a time.

A spline's value depends on a frame `MARGIN` away by less than float64 can hold, so that a part is resampled from that
many frames on either side as from all of them. Frames lie at whole numbers, but for the last of what is resampled: it
is at the original's end, half a frame to one and a half after the one before.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

MARGIN = 28  # each frame further away counts 0.27 times as much: 1e-16

Read = Callable[[int, int], np.ndarray]


def covering(frames: int, fps: float, target: float) -> int:
    """Return how many frames at `target` fps cover `frames` at `fps`."""
    if frames == 1 or fps == target:
        return frames
    return max(2, int((frames - 1) * target / fps + 0.5) + 1)


def moments(first: int, last: int, frames: int, *, step: float, end: float) -> np.ndarray:
    """Return when frames first to last of `frames` are, `step` apart; the very last is at `end`."""
    times = np.arange(first, last) * step
    if last == frames:
        times[-1] = end
    return times


def keypoints_at(read: Read, frames: int, positions: np.ndarray) -> np.ndarray:
    """Return x, y and confidence (n j 3) at positions (n,), rising frame numbers with fractions, of `frames` frames.

    `read(first, last)` gives some of them. Confidence lies on the line between the two nearest frames'.
    """
    first, last = _near(positions, frames)
    values, places = read(first, last), positions - first
    before = np.minimum(places.astype(int), len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    share = (places - before)[:, None].astype(values.dtype)
    confidence = values[before, :, 2] * (1 - share) + values[after, :, 2] * share
    xy = _spline(np.arange(first, last), values[..., :2], positions)
    return np.concatenate([xy, confidence[..., None]], axis=-1)


def resampled(
    blocks: Iterable[np.ndarray], frames: int, *, step: float, end: float, wanted: int
) -> Iterator[np.ndarray]:
    """Yield `wanted` values, `step` frames apart from the first on, of `frames` frames that come in blocks.

    The last of those is at `end`.
    """
    held, start, done = np.empty(0), 0, 0
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        known = start + len(held)
        ready = wanted if known == frames else min(wanted, int((known - 2 - MARGIN) / step) + 1)
        if ready <= done:
            continue
        knots = partial(moments, frames=frames, step=1.0, end=end)
        yield _at(held, start, knots, np.minimum(np.arange(done, ready) * step, end))
        done = ready
        drop = min(len(held), max(0, int(done * step) - MARGIN - 1 - start))
        held, start = held[drop:], start + drop


def _at(held: np.ndarray, start: int, knots: Callable[[int, int], np.ndarray], positions: np.ndarray) -> np.ndarray:
    """Return the values at positions from those of the frames held, the first of which is number `start`."""
    first, last = _near(positions, start + len(held))
    return _spline(knots(first, last), held[first - start : last - start], positions)


def _near(positions: np.ndarray, frames: int) -> tuple[int, int]:
    """Return the first of the frames that positions depend on, and the one after the last."""
    return max(0, int(positions[0]) - MARGIN), min(frames, int(np.ceil(positions[-1])) + MARGIN + 1)


def _spline(knots: np.ndarray, values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    if len(values) == 1:
        return np.repeat(values, len(positions), axis=0)
    from scipy.interpolate import CubicSpline

    return CubicSpline(knots, values)(positions).astype(values.dtype)
