"""The way that a rooted motion goes, guessed from its feet: what stands on the ground does not move, so the root does.

Each ankle says a velocity of the root, and weighs by how near it is to the floor and how well it agrees with what the
ankles around that time say; in a flight the root goes on as before. An ankle rolls over its toes, so walks come out
some 10 % short, and runs and jumps, whose flights are not seen, 20 to 40 %.
"""

from collections.abc import Callable

import numpy as np

Smooth = Callable[[np.ndarray], np.ndarray]

NEAR = 0.02  # leg lengths: an ankle this much higher weighs 1/e
AGREES = 1.0  # leg lengths a second: an ankle off by this weighs 1/e
LASTS = 0.1  # seconds: standard deviation of the Gaussian over time
ROUNDS = 2
LOWEST = 5.0  # percentile of the lower ankle's height that is taken for standing


def way(ankles: np.ndarray, fps: float, length: float) -> np.ndarray:
    """Return the root's path (t 3), Z up, from ankles (t f 3) relative to it; `length` is a leg's, in their unit.

    It starts at X = Y = 0; its height is what brings the lower ankle, smoothed, to Z = 0.
    """
    from scipy.ndimage import gaussian_filter1d

    def smooth(values: np.ndarray) -> np.ndarray:
        return gaussian_filter1d(values, LASTS * fps, axis=0, mode="nearest")

    heights = ankles[..., 2]
    lower = heights.min(axis=1, keepdims=True)
    share = np.exp((lower - heights) / (NEAR * length))
    path = np.zeros((len(ankles), 3))
    path[:, 2] = -smooth((share * heights).sum(axis=1) / share.sum(axis=1))
    if len(ankles) > 1:
        near = share * np.exp(-np.maximum(lower - np.percentile(lower, LOWEST), 0.0) / (NEAR * length))
        path[1:, :2] = np.cumsum(_velocity(ankles, (near[1:] + near[:-1]) / 2, fps, length, smooth), axis=0) / fps
    return path


def _velocity(ankles: np.ndarray, near: np.ndarray, fps: float, length: float, smooth: Smooth) -> np.ndarray:
    """Return the root's velocity along the ground (t-1 2) that ankles as `near` the floor (t-1 f) as this agree on."""
    said = -np.diff(ankles[..., :2], axis=0) * fps
    weight = near
    for left in reversed(range(ROUNDS + 1)):
        total = np.maximum(smooth(weight.sum(axis=1)), 1e-12)
        velocity = smooth((weight[..., None] * said).sum(axis=1)) / total[:, None]
        if left:
            off = np.linalg.norm(said - velocity[:, None], axis=-1) / (AGREES * length)
            weight = near * (np.exp(-(off**2)) + 1e-9)
    return velocity
