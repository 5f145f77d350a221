"""Keypoints as a user hands them in: checked as a whole, cleaned block by block."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixste.errors import MixsteError
from mixste.skeleton import Skeleton, is_own, known_skeletons, load_skeleton

BLOCK = 1024  # frames at a time
SOME = 256
SLOWEST, FASTEST = 1.0, 1000.0  # frames a second that still are a motion, and that cameras take of people


@dataclass(frozen=True)
class Pixels:
    """Keypoints (t j 2|3) in pixels of an image of `size` (width, height), with or without confidence.

    Of a layout that is known, at `fps`; those with less confidence than `threshold` are missing.
    """

    values: np.ndarray
    skeleton: Skeleton
    fps: float
    size: tuple[float, float]
    threshold: float

    def __len__(self) -> int:
        return len(self.values)

    @property
    def sure(self) -> bool:
        """Whether they have confidence."""
        return bool(self.values.shape[-1] == 3)

    def block(self, number: int) -> np.ndarray:
        """Return the frames of a block, x, y and confidence up to 1 (t j 3), float32; a missing joint is 0, 0, 0."""
        return within(cleaned(self.raw(number), self.threshold), self.size)

    def raw(self, number: int) -> np.ndarray:
        """Return the frames of a block as they are, float32."""
        return np.asarray(self.values[number * BLOCK : (number + 1) * BLOCK], dtype=np.float32)

    def some(self) -> np.ndarray:
        """Return a few hundred frames, spread evenly, as `block` does."""
        spread = np.asarray(self.values[:: -(-len(self) // SOME)], dtype=np.float32)
        return within(cleaned(spread, self.threshold), self.size)

    def numbers(self) -> range:
        """Return the numbers of all blocks."""
        return range(-(-len(self) // BLOCK))


def cleaned(values: np.ndarray, threshold: float) -> np.ndarray:
    """Return x, y, confidence (t j 3) of keypoints (t j 2|3) with 0, 0, 0 for those that are missing.

    Missing is what is NaN or infinite, less sure than `threshold` or not at all, and what is at 0, 0, where detectors
    put what they do not know.
    """
    somewhere = (values[..., :2] != 0).any(axis=-1)
    given = values[..., 2] if values.shape[-1] == 3 else somewhere
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(values).all(axis=-1) & somewhere & (given >= threshold) & (given > 0)
        out = np.concatenate([values[..., :2], np.minimum(given, 1)[..., None]], axis=-1)
    return np.where(seen[..., None], out, np.float32(0)).astype(np.float32, copy=False)


def within(clean: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """Return cleaned keypoints (t j 3) with 0, 0, 0, too, for those that lie more than an image's size beyond it."""
    edge = np.array(size, dtype=np.float32)
    near = ((clean[..., :2] >= -edge) & (clean[..., :2] <= 2 * edge)).all(axis=-1, keepdims=True)
    return np.where(near, clean, np.float32(0))


def pixels(keypoints: Any, *, skeleton: str, fps: float, image_size: Any, threshold: float) -> Pixels:
    """Check all that can be told without reading the frames; MixsteError names what is wrong."""
    layout = _layout(skeleton)
    values = _array(keypoints, layout)
    return Pixels(values, layout, frame_rate(fps), _size(image_size, values), confidence(threshold))


def _layout(name: str) -> Skeleton:
    if name not in known_skeletons() and not is_own(name):
        expected = f"one of {', '.join(known_skeletons())}, or a YAML file of your own"
        raise MixsteError("unknown layout of keypoints", found=repr(name), expected=expected)
    return load_skeleton(name)


def _array(keypoints: Any, layout: Skeleton) -> np.ndarray:
    if hasattr(keypoints, "detach"):
        keypoints = keypoints.detach().cpu()
    try:
        values = np.asarray(keypoints)
        numbers = np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values)
        if numbers and isinstance(keypoints, np.ma.MaskedArray):
            values = np.ma.filled(keypoints.astype(np.float64), np.nan)
    except (ValueError, TypeError):
        numbers = False
    if not numbers:
        raise MixsteError("cannot lift these keypoints", found="no array of numbers", expected="`t j c`, pixels")
    joints = len(layout.joints)
    if values.ndim != 3 or values.shape[2] not in (2, 3) or values.shape[1] != joints:
        raise MixsteError(
            "cannot lift these keypoints",
            found=f"shape {values.shape}",
            expected=f"`t j c`: frames x {joints} joints of {layout.name} x 2 (x, y) or 3 (x, y, confidence)",
            mend=_hint(values, joints),
        )
    if len(values) == 0:
        raise MixsteError("nothing to lift", found="no frames")
    return values


def _hint(values: np.ndarray, joints: int) -> str | None:
    if values.ndim == 2 and values.shape[0] == joints:
        return "one frame is keypoints[None]"
    if values.ndim == 4:
        return "lift one person at a time: `mixste.detections.tracks` follows each"
    layouts = [load_skeleton(name) for name in known_skeletons()]
    fitting = [one.name for one in layouts if values.ndim == 3 and len(one.joints) == values.shape[1] != joints]
    return f"a layout of {values.shape[1]} joints is {' or '.join(fitting)}" if fitting else None


def frame_rate(fps: Any) -> float:
    """Return frames a second as a number; MixsteError if a motion cannot have so many."""
    try:
        rate = float(fps)
    except (TypeError, ValueError):
        rate = math.nan
    if not SLOWEST <= rate <= FASTEST:
        raise MixsteError(
            "cannot lift at this frame rate",
            found=f"fps {fps}",
            expected=f"{SLOWEST:g} to {FASTEST:g} frames per second",
            mend=f"{1 / rate:g}, if these are the seconds of a frame" if 0 < rate < SLOWEST else None,
        )
    return rate


def confidence(threshold: float) -> float:
    """Return a threshold of confidence; MixsteError if confidence cannot reach or fall below it."""
    if not 0 <= threshold <= 1:
        raise MixsteError("cannot leave out keypoints so", found=f"threshold {threshold}", expected="0 to 1")
    return threshold


def _size(size: Any, values: np.ndarray) -> tuple[float, float]:
    try:
        width, height = (float(side) for side in size)
        good = 0 < width < math.inf and 0 < height < math.inf
    except (TypeError, ValueError):
        good = False
    if not good:
        reach = " x ".join(f"{side:.0f}" for side in _reach(values))
        raise MixsteError(
            "cannot turn pixels into what the model takes without the image's size",
            found="no image_size" if size is None else f"image_size {size!r}",
            expected="(width, height) of the video or image in pixels",
            mend=f"give image_size; these keypoints reach to {reach}",
        )
    return width, height


def _reach(values: np.ndarray) -> np.ndarray:
    """Return the largest x and y, 0 where there is none."""
    tops = [
        cleaned(np.asarray(values[at : at + BLOCK], np.float32), 0.0)[..., :2] for at in range(0, len(values), BLOCK)
    ]
    return np.max([top.max(axis=(0, 1)) for top in tops], axis=0)
