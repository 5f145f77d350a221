"""Synthetic people who walk through an image, as a detector of COCO's 17 joints sees them."""

import numpy as np

from mixste.detections import Detections

# x to the front, y down, of a body of height 1 that walks to the right: coco17's order.
STANDING = np.array(
    [
        *[(0.06, 0.08), (0.05, 0.06), (0.05, 0.06), (0.0, 0.07), (0.0, 0.07), (0.0, 0.19), (0.0, 0.19)],
        *[(0.0, 0.36), (0.0, 0.36), (0.05, 0.5), (0.05, 0.5), (0.0, 0.5), (0.0, 0.5), (0.02, 0.73), (0.02, 0.73)],
        *[(0.0, 0.96), (0.0, 0.96)],
    ]
)
SWING = np.array([0, 0, 0, 0, 0, 0, 0, 0.08, -0.08, 0.17, -0.17, 0, 0, -0.1, 0.1, -0.2, 0.2])


def walker(
    frames: int, start: tuple[float, float], velocity: float, *, height: float = 400, seed: int = 0, fps: float = 30
) -> np.ndarray:
    """Return (t 17 3) of one who walks along x, `velocity` in pixels a frame, with a detector's noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None]
    stride = np.sin(2 * np.pi * time / fps + rng.uniform(0, 6)) * SWING
    ahead = np.sign(velocity) or 1.0
    x = start[0] + velocity * time + height * ahead * (STANDING[:, 0] + stride)
    y = start[1] + height * (STANDING[:, 1] - 0.05 * np.abs(stride))
    places = np.stack([x, np.broadcast_to(y, x.shape)], axis=-1)
    confidence = rng.uniform(0.6, 0.95, x.shape)[..., None]
    return np.concatenate([places + rng.normal(0, height / 150, places.shape), confidence], axis=-1).astype(np.float32)


def seen(
    *people: np.ndarray, fps: float | None = 30, seed: int = 1, missed: dict[int, range] | None = None
) -> Detections:
    """Return detections of people (t j 3) in an order that changes every frame, without those who are missed there."""
    rng = np.random.default_rng(seed)
    frames = []
    for frame in range(len(people[0])):
        there = [person[frame] for index, person in enumerate(people) if frame not in (missed or {}).get(index, ())]
        rng.shuffle(there)
        frames.append(np.stack(there) if there else np.empty((0, *people[0].shape[1:]), np.float32))
    return Detections(tuple(frames), "coco17", "synthetic", fps=fps)
