"""Change of frame rate by band-limited interpolation: a Kaiser-windowed sinc, cut off at half the lower rate."""

import numpy as np

LOBES = 8
BETA = 8.0
METHOD = (
    f"band-limited: sinc of {LOBES} lobes a side, Kaiser window of beta {BETA:g}, ends continued by point reflection"
)


def resampled_length(frames: int, fps: float, target: float) -> int:
    """Return how many frames at `target` fps lie between the first and the last of `frames` at `fps`, both counted."""
    return 0 if frames == 0 else int(np.floor((frames - 1) * target / fps + 1e-6)) + 1


def resample(motion: np.ndarray, fps: float, target: float) -> np.ndarray:
    """Return a motion (t ...) of `fps` at `target` fps (s ...); its first frame stays, equal rates change nothing."""
    if fps == target:
        return motion
    cutoff = min(1.0, target / fps)
    half = int(np.ceil(LOBES / cutoff))
    times = np.arange(resampled_length(len(motion), fps, target)) * (fps / target)
    padded = np.pad(
        motion.reshape(len(motion), -1).astype(np.float64), ((half, half), (0, 0)), "reflect", reflect_type="odd"
    )
    first = np.floor(times).astype(int) + 1
    taps = first[:, None] + np.arange(2 * half)
    weights = _kernel((taps - half - times[:, None]) * cutoff)
    weights /= weights.sum(axis=1, keepdims=True)
    result = np.zeros((len(times), padded.shape[1]))
    for tap in range(2 * half):
        result += weights[:, tap, None] * padded[np.minimum(taps[:, tap], len(padded) - 1)]
    return result.reshape(len(times), *motion.shape[1:])


def _kernel(distance: np.ndarray) -> np.ndarray:
    """Return the windowed sinc at distances in samples of the lower rate."""
    inside = np.clip(1.0 - (distance / LOBES) ** 2, 0.0, None)
    kernel: np.ndarray = np.sinc(distance) * np.i0(BETA * np.sqrt(inside)) * (np.abs(distance) <= LOBES)
    return kernel
