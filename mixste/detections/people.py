"""People in the frames of a video: as a detector found them, and as one track a person."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """What a file of keypoints holds: of each frame its people (p j 3), in an order that says nothing of who is who.

    x and y are in pixels, confidence is 0 to 1; a joint that was not detected is 0, 0, 0. `report` says in sentences
    what was recognised, repaired and suspected.
    """

    frames: tuple[np.ndarray, ...]
    skeleton: str
    format: str
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    report: tuple[str, ...] = ()


@dataclass(frozen=True)
class Track:
    """One person followed through the frames, from the first to the last in which they were detected.

    `keypoints` are float32 (t j 3): x, y in pixels, confidence 0 to 1; a joint or frame without detection is 0, 0, 0.
    `first` is the index of its first frame in the file.
    """

    keypoints: np.ndarray
    skeleton: str
    name: str
    first: int
