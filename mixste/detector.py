"""A simulated 2D detector, different in kind from the corruption of pre-training (`mixste.corruption`).

Its errors last: they follow AR(1) processes, occluded joints stick or wander for several frames, limbs swap left and
right for several frames, and all of it grows with the person's size in the image. Its confidence follows the error only
roughly.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixste.settings.rules import BelowOne, NotNegative, Positive, Settings, Share
from mixste.skeleton import Skeleton

# How much harder a joint is to find than the average one: ends of limbs are fast and small, hips wide and slow.
DIFFICULTY = {"ankle": 1.35, "elbow": 1.2, "head": 0.8, "hip": 0.75, "knee": 1.0, "neck": 0.75, "shoulder": 0.85}
DIFFICULTY |= {"spine": 0.8, "thorax": 0.7, "wrist": 1.6}
SMALLEST = 0.05  # screen units: a person's box is never taken for smaller, so that errors stay finite in size
SWAP_CONFIDENCE = 0.9  # a detector hardly notices that it took one leg for the other
OCCLUDED_CONFIDENCE = (0.15, 0.75)  # an occlusion multiplies the confidence by a number from here


@dataclass(frozen=True)
class DetectorSettings(Settings):
    """How good the simulated detector is; lengths are fractions of the person's box in the image (its longer side)."""

    noise: NotNegative = 0.0085
    correlation: BelowOne = 0.85
    bias: NotNegative = 0.006
    bias_seconds: Positive = 2.0
    dropout_rate: NotNegative = 0.06
    dropout_seconds: Positive = 0.25
    behind: NotNegative = 3.0
    wander: NotNegative = 0.012
    swap_rate: NotNegative = 0.04
    swap_seconds: Positive = 0.16
    swap_all: Share = 0.3
    confidence_scale: Positive = 0.1
    confidence_noise: NotNegative = 0.08


def seeded(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on the seed and the names alone, never on the process or the order of work."""
    digest = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big"))))


def detect(
    screen: np.ndarray,
    depth: np.ndarray,
    *,
    skeleton: Skeleton,
    fps: float,
    ratio: float,
    settings: DetectorSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Simulate detections (t j 3) of x, y, confidence from the exact screen coordinates (t j 2) of one clip and camera.

    `depth` (t j) is the joints' Z in metres, `ratio` the image's height over its width. Joints that leave the image are
    put on its border with confidence 0.
    """
    size = box_size(screen)[:, None, None]
    swapped, swap = _swap(screen, skeleton, fps, settings, rng)
    found = swapped + _noise(screen.shape, skeleton, fps, settings, rng) * size
    found, occluded = _occlude(found, depth, size, skeleton, fps, settings, rng)
    error = np.hypot(found[..., 0] - swapped[..., 0], found[..., 1] - swapped[..., 1]) / size[..., 0]
    confidence = _confidence(error, occluded, swap, settings, rng)
    return _inside_image(found, confidence, ratio)


def box_size(screen: np.ndarray) -> np.ndarray:
    """Return the longer side (t,) of the box around each frame's joints (t j 2), screen units."""
    x, y = (np.ascontiguousarray(screen[..., axis].T) for axis in (0, 1))
    sides = (values.max(axis=0) - values.min(axis=0) for values in (x, y))
    return np.maximum(np.maximum(*sides), screen.dtype.type(SMALLEST))


def difficulty(skeleton: Skeleton) -> np.ndarray:
    """Return how hard each joint (j,) is to find, 1 on average."""
    factors = np.array([DIFFICULTY.get(name.removeprefix("l_").removeprefix("r_"), 1.0) for name in skeleton.joints])
    return (factors / factors.mean()).astype(np.float32)


def autoregressive(shape: Sequence[int], correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a stationary AR(1) process of unit variance along the first axis, float32."""
    from scipy.signal import lfilter

    drive = rng.standard_normal(tuple(shape), dtype=np.float32)
    scale = np.float32(np.sqrt(1 - correlation**2))
    drive[1:] *= scale
    process: np.ndarray = lfilter(np.ones(1, np.float32), np.array([1, -correlation], np.float32), drive, axis=0)
    return process.astype(np.float32, copy=False)


def events(rate: np.ndarray | float, mean_frames: float, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw events that start with probability `rate` a frame and last `mean_frames` on average (at least one).

    Returns for every element of `shape`, frames first, the frame at which its event started, or -1 where there is none.
    """
    frames = np.arange(shape[0], dtype=np.int32).reshape(-1, *[1] * (len(shape) - 1))
    starts = rng.random(tuple(shape), dtype=np.float32) < rate
    ends = np.zeros(tuple(shape), dtype=np.int32)
    which = np.nonzero(starts)
    ends[which] = which[0] + rng.geometric(1 / max(mean_frames, 1.0), size=len(which[0]))
    running = np.maximum.accumulate(ends, axis=0) > frames
    first = running & ~np.concatenate([np.zeros_like(running[:1]), running[:-1]])
    return np.where(running, np.maximum.accumulate(np.where(first, frames, 0), axis=0), -1)


def _noise(
    shape: tuple[int, ...], skeleton: Skeleton, fps: float, settings: DetectorSettings, rng: np.random.Generator
) -> np.ndarray:
    fast = autoregressive(shape, settings.correlation, rng)
    slow = autoregressive(shape, float(np.exp(-1 / (settings.bias_seconds * fps))), rng)
    hard = difficulty(skeleton)[:, None]
    return np.float32(settings.noise) * hard * fast + np.float32(settings.bias) * hard * slow


def _swap(
    screen: np.ndarray, skeleton: Skeleton, fps: float, settings: DetectorSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Exchange left and right joints for the length of some events; also return where (t j)."""
    start = events(settings.swap_rate / fps, settings.swap_seconds * fps, (len(screen),), rng)
    everything = rng.random(len(screen)) < settings.swap_all
    limbs = _limb_pairs(skeleton)
    limb = rng.integers(0, max(limbs.max() + 1, 1), size=len(screen))
    chosen = (limbs == limb[start][:, None]) | everything[start][:, None]
    where = (start >= 0)[:, None] & chosen & (limbs >= 0)
    return np.where(where[..., None], screen[:, list(skeleton.flip)], screen), where


def _limb_pairs(skeleton: Skeleton) -> np.ndarray:
    """Number the pairs of limbs: joints (j,) of both legs have one number, of both arms another, the trunk -1."""
    partner = np.array(skeleton.flip)
    roots = [joint for joint in range(len(partner)) if partner[joint] != joint and _is_limb_root(skeleton, joint)]
    pairs = sorted({tuple(sorted((root, int(partner[root])))) for root in roots})
    limbs = np.full(len(partner), -1)
    for number, pair in enumerate(pairs):
        limbs[list(pair)] = number
    for joint, parent in sorted(enumerate(skeleton.parents), key=lambda bone: _depth(skeleton, bone[0])):
        if partner[joint] != joint and limbs[joint] < 0:
            limbs[joint] = limbs[parent]
    return limbs


def _is_limb_root(skeleton: Skeleton, joint: int) -> bool:
    parent = skeleton.parents[joint]
    return parent < 0 or skeleton.flip[parent] == parent


def _depth(skeleton: Skeleton, joint: int) -> int:
    parent = skeleton.parents[joint]
    return 0 if parent < 0 else 1 + _depth(skeleton, parent)


def _occlude(
    found: np.ndarray,
    depth: np.ndarray,
    size: np.ndarray,
    skeleton: Skeleton,
    fps: float,
    settings: DetectorSettings,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Let occluded joints stick to their last place beside the root, or wander; also return where (t j)."""
    root = skeleton.root
    behind = depth > depth[:, [root]]
    balance = 2 / (1 + settings.behind)
    weight = np.where(behind, np.float32(balance * settings.behind), np.float32(balance)) * difficulty(skeleton)
    start = events(settings.dropout_rate / fps * weight, settings.dropout_seconds * fps, depth.shape, rng)
    occluded = start >= 0
    frame, joint = np.nonzero(occluded)
    first = start[frame, joint]
    stick = rng.random(depth.shape, dtype=np.float32)[first, joint] < 0.5
    walk = np.cumsum(rng.standard_normal(found.shape, dtype=np.float32), axis=0)
    walked = (walk[frame, joint] - walk[first, joint]) * np.float32(settings.wander) * size[frame, 0]
    stuck = found[first, joint] + found[frame, root] - found[first, root]
    out = found.copy()
    out[frame, joint] = np.where(stick[:, None], stuck, found[frame, joint]) + walked
    return out, occluded


def _confidence(
    error: np.ndarray, occluded: np.ndarray, swap: np.ndarray, settings: DetectorSettings, rng: np.random.Generator
) -> np.ndarray:
    confidence = np.exp(-error / np.float32(settings.confidence_scale))
    low, high = OCCLUDED_CONFIDENCE
    confidence *= np.where(occluded, low + (high - low) * rng.random(error.shape, dtype=np.float32), np.float32(1))
    confidence *= np.where(swap, np.float32(SWAP_CONFIDENCE), np.float32(1))
    confidence += np.float32(settings.confidence_noise) * autoregressive(error.shape, settings.correlation, rng)
    return np.clip(confidence, 0, 1).astype(np.float32)


def _inside_image(found: np.ndarray, confidence: np.ndarray, ratio: float) -> np.ndarray:
    x, y, border = found[..., 0], found[..., 1], np.float32(ratio)
    inside = (np.abs(x) <= 1) & (np.abs(y) <= border)
    return np.stack([np.clip(x, -1, 1), np.clip(y, -border, border), confidence * inside], axis=-1, dtype=np.float32)
