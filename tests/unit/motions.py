"""Motions to try things on: the sample's people as they come out of lifting."""

from functools import cache
from typing import Any

import numpy as np

from mixste.captures.formats.bvh import joint_positions
from mixste.motion import Motion
from mixste.sample import make_trial
from mixste.skeleton import load_skeleton

FPS = 60.0


@cache
def recorded(subject: str, action: str) -> np.ndarray:
    """The sample's joints (t 17 3), metres, Z up."""
    bvh = make_trial(subject, action)
    x, y, z = np.moveaxis(joint_positions(bvh)[:, [bvh.names.index(n) for n in load_skeleton("h36m17").joints]], -1, 0)
    return np.stack([x, -z, y], axis=-1) / 100


def world(subject: str = "S1", action: str = "walking", frames: slice = slice(None), **values: Any) -> Motion:
    """An absolute motion with Z up."""
    return Motion(recorded(subject, action)[frames], "h36m17", FPS, frame="world", rooted=False, **values)


def camera(subject: str = "S1", action: str = "walking", frames: slice = slice(None), **values: Any) -> Motion:
    """The same relative to its root in the axes of a level camera: X right, Y down, Z forward."""
    x, y, z = np.moveaxis(recorded(subject, action)[frames], -1, 0)
    joints = np.stack([x, -z, y], axis=-1)
    return Motion(joints - joints[:, :1], "h36m17", FPS, **values)


def noisy(motion: Motion, metres: float = 0.01, seed: int = 0) -> Motion:
    """The motion with independent noise on every number."""
    noise = np.random.default_rng(seed).normal(0, metres, motion.joints.shape)
    return motion.changed(joints=motion.joints + noise)
