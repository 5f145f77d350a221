"""The floor: a path of the hip that the feet allow, and feet that stand where they were put.

Joint angles alone let feet slide and dip. So the hip first takes the height and the way that the standing feet dictate,
smoothed; then each standing foot is held where it stands, each swinging foot led from one place to the next, and the
legs are solved again to reach them. Centimetres, Y up, floor at Y = 0; feet are right, left.
"""

import numpy as np

from mixste.captures.formats.bvh import Bvh, joint_positions
from mixste.sample.body import FPS, NAMES, Angles, Body, pose
from mixste.sample.legs import reach

GRAVITY = 981.0
_SOFT, _SLACK, _CLEARANCE = 0.4, 0.3, 2.0
_SMOOTH_HEIGHT, _SMOOTH_WAY = 0.04, 0.12


def place(body: Body, angles: Angles, standing: np.ndarray) -> Bvh:
    """Put a body with these joint angles on the floor; `standing` (t 2) says when each foot bears weight."""
    feet = _feet(body, angles, np.zeros((len(standing), 3)))
    contacts = _contacts(feet, body)
    loads = _loads(contacts[..., 1], standing)
    root = _root(contacts, loads, ~np.any(standing, axis=1, keepdims=True)[:, 0])
    contacts = contacts + root[:, None, None]
    held = dict(angles)
    for foot, side in enumerate("rl"):
        moved = feet[:, foot] + root[:, None] + _hold(contacts[:, foot], standing[:, foot])[:, None]
        held |= reach(body, angles, root, side, moved[:, 0], moved[:, 1])
    return pose(body, held, root)


def _feet(body: Body, angles: Angles, root: np.ndarray) -> np.ndarray:
    """Return ankles and balls (t foot 2 3) by forward kinematics."""
    positions = joint_positions(pose(body, angles, root))
    names = [f"{side}_ankle{end}" for side in "rl" for end in ("", "_End")]
    return positions[:, [NAMES.index(name) for name in names]].reshape(len(root), 2, 2, 3)


def _contacts(feet: np.ndarray, body: Body) -> np.ndarray:
    """Return the points (t foot 2 3) that can touch the floor: a heel under each ankle and each ball."""
    contacts = feet.copy()
    contacts[:, :, 0, 1] -= body.ankle_height
    return contacts


def _loads(heights: np.ndarray, standing: np.ndarray) -> np.ndarray:
    """Share the weight among the contacts (t foot 2) of standing feet: the lowest bears it, level ones share it."""
    loads = np.exp(-(heights - heights.min(axis=(1, 2), keepdims=True)) / _SOFT) * standing[..., None]
    loads += 1e-9 * standing[..., None]
    return loads / np.maximum(loads.sum(axis=(1, 2), keepdims=True), 1e-12)


def _root(contacts: np.ndarray, loads: np.ndarray, aloft: np.ndarray) -> np.ndarray:
    """Return the hip's path (t 3) that keeps loaded contacts on the floor and in place, smoothed; it flies freely."""
    height = _fly(-(loads * contacts[..., 1]).sum(axis=(1, 2)), aloft)
    steps = -np.diff(contacts[..., [0, 2]], axis=0) * ((loads[1:] + loads[:-1]) / 2)[..., None]
    steps, grounded = steps.sum(axis=(1, 2)), ~(aloft[1:] | aloft[:-1])
    frames = np.arange(len(steps))
    way = [_smooth(np.interp(frames, frames[grounded], axis[grounded]), _SMOOTH_WAY) for axis in steps.T]
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(np.stack(way, axis=1), axis=0)])
    path -= path.mean(axis=0)
    return np.stack([path[:, 0], _smooth(height, _SMOOTH_HEIGHT) - _SLACK, path[:, 1]], axis=1)


def _fly(height: np.ndarray, aloft: np.ndarray) -> np.ndarray:
    """Replace the height (t,) in flight by a fall under gravity from take-off to landing."""
    frames = np.arange(len(height))
    flown = np.interp(frames, frames[~aloft], height[~aloft])
    for start, stop in _runs(aloft):
        after = (frames[start:stop] - start + 1) / FPS
        flown[start:stop] += GRAVITY / 2 * after * ((stop - start + 1) / FPS - after)
    return flown


def _hold(contacts: np.ndarray, standing: np.ndarray) -> np.ndarray:
    """Return how far (t 3) to move one foot's contacts (t 2 3) so that it stands still and swings over the floor."""
    heights = contacts[..., 1]
    shares = np.exp(-(heights - heights.min(axis=1, keepdims=True)) / _SOFT)
    shares /= shares.sum(axis=1, keepdims=True)
    steps = (np.diff(contacts, axis=0) * ((shares[1:] + shares[:-1]) / 2)[..., None]).sum(axis=1)
    hold = np.zeros((len(standing), 3))
    for start, stop in _runs(standing):
        slid = np.concatenate([np.zeros((1, 3)), np.cumsum(steps[start : stop - 1], axis=0)])
        hold[start:stop] = slid.mean(axis=0) - slid
        hold[start:stop, 1] = -(shares[start:stop] * heights[start:stop]).sum(axis=1)
    for start, stop in _runs(~standing):
        rise = np.arange(1, stop - start + 1) / (stop - start + 1)
        before = hold[start - 1] if start > 0 else hold[stop]
        after = hold[stop] if stop < len(hold) else before
        hold[start:stop] = before + (after - before) * (rise**2 * (3 - 2 * rise))[:, None]
        least = _CLEARANCE * np.sin(np.pi * rise) - heights[start:stop].min(axis=1)
        hold[start:stop, 1] = np.maximum(hold[start:stop, 1], least)
    return hold


def _smooth(curve: np.ndarray, seconds: float) -> np.ndarray:
    """Smooth a curve (t,) with a Gaussian of this standard deviation; at its ends it is mirrored."""
    reach = round(3 * seconds * FPS)
    bell = np.exp(-((np.arange(-reach, reach + 1) / (seconds * FPS)) ** 2) / 2)
    return np.convolve(np.pad(curve, reach, mode="reflect"), bell / bell.sum(), mode="valid")


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
