"""Where a camera stood, from points in the world and where it saw them: the direct linear transform.

Hartley and Zisserman, Multiple View Geometry (2004), 7.1. The lens is taken as free of distortion.
"""

import numpy as np
from scipy.linalg import rq


def resect(world: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return intrinsics (3 3), rotation (3 3) and translation (3,) with pixels ~ K (R x + t).

    From six or more world points (n 3) that lie on no plane, and their pixels (n 2). Camera axes are X right, Y down,
    Z forward; the points lie before the camera.
    """
    (place, near), (spread, seen) = _normalised(world), _normalised(pixels)
    points = np.concatenate([near, np.ones((len(near), 1))], axis=1)
    none = np.zeros_like(points)
    rows = [np.concatenate([points, none, -seen[:, :1] * points], axis=1)]
    rows += [np.concatenate([none, points, -seen[:, 1:] * points], axis=1)]
    matrix = np.linalg.svd(np.concatenate(rows), full_matrices=False)[2][-1].reshape(3, 4)
    matrix = np.linalg.inv(spread) @ matrix @ place
    matrix *= np.sign((matrix @ np.append(world[0], 1))[2])
    intrinsics, rotation = rq(matrix[:, :3])
    signs = np.diag(np.sign(np.diag(intrinsics)))
    intrinsics, rotation = intrinsics @ signs, signs @ rotation
    return intrinsics / intrinsics[2, 2], rotation, np.linalg.solve(intrinsics, matrix[:, 3])


def reproject(world: np.ndarray, intrinsics: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return the pixels (n 2) of world points (n 3)."""
    seen = (world @ rotation.T + translation) @ intrinsics.T
    return seen[:, :2] / seen[:, 2:]


def _normalised(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the map to coordinates around 0 of size 1, as a homogeneous matrix, and the points in them."""
    middle, size = points.mean(axis=0), points.std()
    matrix = np.diag([*np.full(points.shape[1], 1 / size), 1.0])
    matrix[:-1, -1] = -middle / size
    return matrix, (points - middle) / size
