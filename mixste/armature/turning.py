"""How a bone turns: rotations (t 3 3) between directions, best fits to several bones, twists without flips.

Vectors are (t 3) or (3,), lengths any, angles radians.
"""

import numpy as np

HINGE, PRIOR = 1.0, 0.05  # weights of a hinge bent by 90 degrees, and of no twist at all
CALM = 0.1  # seconds over which twists are smoothed
LEAST = 1e-4  # of the bones' square lengths: holds what they leave open, as one bone's twist


def swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the least rotations (t 3 3) that turn unit vectors `start` (t 3) into `end` (t 3).

    Of opposite ones, half a turn about an axis square to `start`.
    """
    start, end = np.broadcast_arrays(start, end)
    cosine = (start * end).sum(axis=-1)[:, None, None]
    both = start + end
    rotation = np.eye(3) - both[:, :, None] * both[:, None, :] / np.maximum(1 + cosine, 1e-12)
    rotation += 2 * end[:, :, None] * start[:, None, :]
    opposite = cosine[:, 0, 0] < 1e-9 - 1
    axes = square_to(start[opposite])
    rotation[opposite] = 2 * axes[:, :, None] * axes[:, None, :] - np.eye(3)
    return rotation


def best_fit(bones: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the rotations (t 3 3) that bring `bones` (k 3) nearest to `places` (t k 3), by Kabsch's method.

    What they leave open, as where all bones are in one line, is turned as little as possible.
    """
    covariance = np.einsum("tki,kj->tij", places, bones) + LEAST * (bones**2).sum() * np.eye(3)
    left, _, right = np.linalg.svd(covariance)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]
    return left @ right


def aim(
    rest: np.ndarray,
    directions: np.ndarray,
    fps: float,
    *,
    axis: np.ndarray | None = None,
    bends: np.ndarray | None = None,
) -> np.ndarray:
    """Return the rotations (t 3 3) that aim a bone along `rest` (3,) at `directions` (t 3), unit vectors both.

    The twist is chosen so that the hinge at the bone's end, whose axis at rest is `axis` (3,), turns about `bends`
    (t 3), the sine of its bend long; where it is hardly bent, so that the bone is not twisted. It follows smoothly.
    """
    swings = swing(rest[None], directions)
    carried = _carried(rest, directions, swings)
    prior = PRIOR * ((1 + directions @ rest) / 2) ** 2
    wanted = prior * np.exp(-1j * carried)
    weight = prior
    if axis is not None and bends is not None:
        seen = np.einsum("tij,ti->tj", swings, bends)
        angle = np.arctan2(np.cross(axis, seen) @ rest, seen @ axis)
        bent = HINGE * (bends**2).sum(axis=-1) * (1 + np.cos(angle)) / 2
        wanted, weight = wanted + bent * np.exp(1j * (angle - carried)), weight + bent
    twist = np.angle(_smooth(wanted, weight, PRIOR * (CALM * fps) ** 2)) + carried
    return swings @ about(rest, twist)


def about(axis: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return rotations (t 3 3) about one unit vector (3,) by angles (t,)."""
    cross = np.cross(np.eye(3), axis)
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)


def square_to(vectors: np.ndarray) -> np.ndarray:
    """Return a unit vector (... 3) square to each of `vectors` (... 3)."""
    other = np.eye(3)[np.abs(vectors).argmin(axis=-1)]
    across = np.cross(vectors, other)
    return across / np.linalg.norm(across, axis=-1, keepdims=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (... 3) with length 1; those without length stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _carried(rest: np.ndarray, directions: np.ndarray, swings: np.ndarray) -> np.ndarray:
    """Return the twists (t,) after `swings` of a bone that only ever turns by the least from one frame to the next.

    Unlike `swings` it does not spin where the bone points the other way than at rest.
    """
    steps = np.swapaxes(swings[1:], 1, 2) @ swing(directions[:-1], directions[1:]) @ swings[:-1]
    first = square_to(rest)
    second = np.cross(rest, first)
    moved = steps @ first
    return np.concatenate([[0.0], np.cumsum(np.arctan2(moved @ second, moved @ first))])


def _smooth(wanted: np.ndarray, weight: np.ndarray, stiffness: float) -> np.ndarray:
    """Return z (t,) with the least sum of weight |z - wanted / weight|^2 + stiffness |z's step|^2."""
    from scipy.linalg import solveh_banded

    if len(weight) == 1:
        return wanted
    bands = np.zeros((2, len(weight)))
    bands[1] = weight + 1e-9
    bands[1, :-1] += stiffness
    bands[1, 1:] += stiffness
    bands[0, 1:] = -stiffness
    parts = solveh_banded(bands, np.stack([wanted.real, wanted.imag], axis=1))
    return parts[:, 0] + 1j * parts[:, 1]
