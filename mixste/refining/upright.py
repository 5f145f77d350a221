"""From camera axes (X right, Y down, Z forward) to a world with Z up."""

from collections.abc import Sequence

import numpy as np

from mixste.errors import MixsteError


def down_of(pitch: float = 0.0, gravity: Sequence[float] | None = None) -> np.ndarray:
    """Return the direction down (3,), of unit length, in camera axes.

    It is `gravity`, or that of a camera without roll that looks down by `pitch` degrees. MixsteError for both at once,
    and for a gravity that is no direction.
    """
    if gravity is None:
        angle = np.radians(pitch)
        return np.array([0.0, np.cos(angle), np.sin(angle)])
    down = np.asarray(gravity, dtype=np.float64)
    length = np.linalg.norm(down) if down.shape == (3,) else np.nan
    if pitch or not (np.isfinite(length) and length > 0):
        found = f"gravity {gravity}" + (f" and pitch {pitch:g}" if pitch else "")
        expected = "three numbers, the direction down in camera axes, or a pitch"
        raise MixsteError("cannot tell what is up", found=found, expected=expected)
    return down / length


def camera_to_level(down: np.ndarray) -> np.ndarray:
    """Return the rotation (3 3) of camera axes into X right, Y forward along the ground, Z up; `down` as `down_of`'s.

    Where the camera looks straight up or down, forward is where the top of its image points to.
    """
    up = -down
    ahead = np.array([0.0, 0.0, 1.0])
    if abs(up[2]) > 1 - 1e-6:
        ahead = np.array([0.0, -1.0, 0.0])
    forward = ahead - (ahead @ up) * up
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(forward, up), forward, up])
