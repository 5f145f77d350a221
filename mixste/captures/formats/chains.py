"""Forward kinematics of a tree of bones by turning frames about their own axes.

A frame is an array (3 3 t): first the axis (X, Y, Z), then that axis's world component, last the time.
Turning about one axis touches the two others only, so no matrix product is needed and time stays contiguous.
"""

import numpy as np

AXES = "XYZ"


def upright(frames: int) -> np.ndarray:
    """Return a frame (3 3 t) aligned with the world at all times."""
    return np.repeat(np.eye(3)[:, :, None], frames, axis=2)


def turn(frame: np.ndarray, axis: str, degrees: np.ndarray | float) -> np.ndarray:
    """Return the frame (3 3 t) turned by `degrees` (t or scalar) about its own axis "X", "Y" or "Z".

    As matrices with the axes as columns this is R @ R_axis(degrees), positive by the right-hand rule.
    """
    if isinstance(degrees, float) and degrees == 0.0:
        return frame
    fixed = AXES.index(axis)
    first, second = (fixed + 1) % 3, (fixed + 2) % 3
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.empty_like(frame)
    turned[fixed] = frame[fixed]
    turned[first] = cosine * frame[first] + sine * frame[second]
    turned[second] = cosine * frame[second] - sine * frame[first]
    return turned


def carry(frame: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the world components (3 t) of a vector (3) or (3 t) given along the frame's axes."""
    world: np.ndarray = frame[0] * vector[0] + frame[1] * vector[1] + frame[2] * vector[2]
    return world
