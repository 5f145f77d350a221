"""Rotations, cameras, projection and screen normalisation as batched pure functions.

Frames: world is Z up; a camera has X right, Y down, Z forward. Lengths are metres; a quaternion is (w, x, y, z), of
unit length, and turns camera axes into world axes. Screen units: x = u / w * 2 - 1 and y = v / w * 2 - h / w, both over
the image's width. The intrinsics of a camera are nine numbers in screen units: fx, fy, cx, cy, k1, k2, k3, p1, p2.

The distortion is Human3.6M's, not OpenCV's: x' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3 + p1 x + p2 y) + p1 r2, and y' is the
same with p2 in the last term.
"""

from collections.abc import Callable, Sequence

import numpy as np

# How tables and models name the frame of their joints, the unit of their keypoints, and that of their joints.
FRAME = "camera, X right, Y down, Z forward"
SCREEN = "x = u / width * 2 - 1, y = v / width * 2 - height / width"
UNITS = ("m", "screen")

BLOCK = 1 << 14  # points at a time: what is computed on stays in the cache
UNDISTORT_STEPS = 25


def floats(values: np.ndarray) -> np.ndarray:
    """Return numbers in the type they have, or of whole numbers in float64; what is computed has the points' type."""
    values = np.asarray(values)
    return values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float64)


def rotate(quaternion: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rotate vectors (... 3) by quaternions (... 4), broadcast against each other: v + 2 (w u x v + u x (u x v))."""
    vectors = floats(vectors)
    quaternion = np.asarray(quaternion, dtype=vectors.dtype)
    w, u = quaternion[..., :1], quaternion[..., 1:]
    across = np.cross(u, vectors)
    return vectors + 2 * (w * across + np.cross(u, across))


def conjugate(quaternion: np.ndarray) -> np.ndarray:
    """Invert the rotation of unit quaternions (... 4)."""
    return np.asarray(quaternion) * np.array([1, -1, -1, -1], dtype=np.asarray(quaternion).dtype)


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Turn unit quaternions (... 4) into matrices (... 3 3) that rotate column vectors the same way."""
    columns = rotate(np.asarray(quaternion, dtype=np.float64)[..., None, :], np.eye(3))
    return np.swapaxes(columns, -1, -2)


def apply_matrix(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Multiply one matrix (3 3) with points (... 3), in the dtype of the points and without BLAS.

    BLAS rounds the same point differently in batches of different lengths; stage outputs must not depend on that.
    """
    points = floats(points)
    matrix = np.asarray(matrix, dtype=points.dtype)

    def multiply(block: np.ndarray) -> np.ndarray:
        x, y, z = block.T
        return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix], axis=-1)

    return _in_blocks(multiply, points, 3)


def world_to_camera(points: np.ndarray, orientation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Express world points (... 3) in one camera's axes, metres; its pose is orientation (4,) and translation (3,)."""
    points = floats(points)
    shifted = points - np.asarray(translation, dtype=points.dtype)
    return apply_matrix(rotation_matrix(orientation).T, shifted)


def camera_to_world(points: np.ndarray, orientation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Express points (... 3) of one camera in world axes, metres; the inverse of `world_to_camera`."""
    points = floats(points)
    return apply_matrix(rotation_matrix(orientation), points) + np.asarray(translation, dtype=points.dtype)


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Project camera points (... 3) to screen units (... 2) with H36M's distortion, x / z and y / z clamped to -1..1.

    Points must lie in front of the camera (z > 0).
    """
    points = floats(points)
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = np.asarray(intrinsics, dtype=points.dtype)

    def distort(block: np.ndarray) -> np.ndarray:
        x, y = np.clip(block[:, 0] / block[:, 2], -1, 1), np.clip(block[:, 1] / block[:, 2], -1, 1)
        r2 = x * x + y * y
        factor = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + (p1 * x + p2 * y)
        return np.stack([fx * (x * factor + p1 * r2) + cx, fy * (y * factor + p2 * r2) + cy], axis=-1)

    return _in_blocks(distort, points, 2)


def project_linear(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Project camera points (... 3) to screen units (... 2) without distortion; uses the first four intrinsics."""
    points = floats(points)
    fx, fy, cx, cy = np.asarray(intrinsics, dtype=points.dtype)[:4]

    def divide(block: np.ndarray) -> np.ndarray:
        x, y, z = block.T
        return np.stack([fx * (x / z) + cx, fy * (y / z) + cy], axis=-1)

    return _in_blocks(divide, points, 2)


def undistort(keypoints: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Turn distorted screen coordinates (... 2) into rays x / z, y / z (... 2), by fixed-point iteration.

    Exact to rounding inside the image of an ordinary lens; points that `project` clamped cannot be recovered.
    """
    keypoints = floats(keypoints)
    values = np.asarray(intrinsics, dtype=keypoints.dtype)
    distorted = (keypoints - values[2:4]) / values[:2]
    tangential = values[7:9]
    rays = distorted
    for _ in range(UNDISTORT_STEPS):
        r2 = np.sum(rays * rays, axis=-1, keepdims=True)
        radial = 1 + r2 * (values[4] + r2 * (values[5] + r2 * values[6]))
        rays = (distorted - tangential * r2) / (radial + np.sum(tangential * rays, axis=-1, keepdims=True))
    return rays


def back_project(keypoints: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Give screen coordinates (... 2) their depth (...), metres along Z: camera points (... 3), as before `project`."""
    rays = undistort(keypoints, intrinsics)
    return np.concatenate([rays * depth[..., None], depth[..., None]], axis=-1)


def normalise_screen(pixels: np.ndarray, width: float, height: float) -> np.ndarray:
    """Turn pixels (... 2) into screen units: both divided by the width, the aspect ratio kept."""
    pixels = floats(pixels)
    return pixels / pixels.dtype.type(width / 2) - np.array([1, height / width], dtype=pixels.dtype)


def denormalise_screen(keypoints: np.ndarray, width: float, height: float) -> np.ndarray:
    """Turn screen units (... 2) into pixels; the inverse of `normalise_screen`."""
    keypoints = floats(keypoints)
    return (keypoints + np.array([1, height / width], dtype=keypoints.dtype)) * keypoints.dtype.type(width / 2)


def flip_pose(pose: np.ndarray, permutation: Sequence[int]) -> np.ndarray:
    """Mirror poses (... j c), 2D or 3D: x changes its sign, left and right joints their places.

    For arrays, float64 too; `mixste.inference.mirror` does the same to tensors, on their device and in autograd.
    """
    mirrored = pose[..., list(permutation), :]
    mirrored[..., 0] *= -1
    return mirrored


def flip_camera(intrinsics: np.ndarray) -> np.ndarray:
    """Mirror a camera's intrinsics (... 9): the sign of cx and of p1 changes."""
    mirrored = np.array(intrinsics)
    mirrored[..., [2, 7]] *= -1
    return mirrored


def _in_blocks(function: Callable[[np.ndarray], np.ndarray], points: np.ndarray, channels: int) -> np.ndarray:
    flat = points.reshape(-1, points.shape[-1])
    out = np.empty((len(flat), channels), dtype=points.dtype)
    for start in range(0, len(flat), BLOCK):
        out[start : start + BLOCK] = function(flat[start : start + BLOCK])
    return out.reshape(*points.shape[:-1], channels)
